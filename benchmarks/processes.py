"""Processes of benchmarks/gateway.py: pinned to a core, watched in /proc, and ended whatever happens. Linux only."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

PATIENCE = 10.0
"""Seconds from SIGTERM to SIGKILL."""


def cores() -> tuple[int, int]:
    """The gateway's core, and the one that upstream and load share. Raises `SystemExit` where there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise SystemExit("The benchmark needs two cores: one for the gateway, one for upstream and load.")
    return allowed[0], allowed[-1]


def pinned(core: int, command: list[str]) -> list[str]:
    return ["taskset", "-c", str(core), *command]


@contextmanager
def running(command: list[str], core: int, environ: Mapping[str, str], log: Path) -> Iterator[int]:
    """A process and its children on one core; yields its id, ends them all."""
    with log.open("wb") as out:
        started = subprocess.Popen(
            pinned(core, command), env={**os.environ, **environ}, stdout=out, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    try:
        yield started.pid
    finally:
        _end(started)


def _end(started: subprocess.Popen[bytes]) -> None:
    """Ask the group to end, then make it; what it had started is in the group."""
    try:
        if started.poll() is None:
            started.terminate()
            started.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def alive(pid: int) -> bool:
    """Whether a child has not ended; a zombie has."""
    return _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()[:1] not in ([], ["Z"])


def cpu(pid: int) -> float:
    """Seconds of CPU that the threads of a process and of its children have used.

    By the scheduler's count in nanoseconds: `stat` counts hundredths, which is coarse where a load costs a tenth of a
    second. Threads that have ended are not in it; none of the gateways here ends one under load.
    """
    threads = (task for one in _tree(pid) for task in Path(f"/proc/{one}/task").glob("*/schedstat"))
    return sum(int((_read(task).split() or ["0"])[0]) for task in threads) / 1e9


def rss(pid: int) -> float:
    """Resident MB of the largest process of the tree: the worker, where there is one."""
    return max(_resident(one) for one in _tree(pid))


def _resident(pid: int) -> float:
    pages = _read(Path(f"/proc/{pid}/statm")).split()
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6 if pages else 0.0


def _tree(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [pid, *(one for task in tasks for child in _read(task).split() for one in _tree(int(child)))]


def _read(file: Path) -> str:
    """ "" where the process or thread has ended meanwhile."""
    try:
        return file.read_text()
    except OSError:
        return ""


def free(port: int) -> None:
    """Raises `SystemExit` where something listens on a port of loopback already."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError as error:
            raise SystemExit(f"Port {port} is taken ({error.strerror}): stop what listens there.") from error
