"""What `doctor` looks at: each check yields findings, and none of them changes anything or calls a model."""

import shutil
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from trimtab import load
from trimtab.errors import TrimtabError
from trimtab.settings import SECRETS, Settings

ROOM = 500_000_000
"""Bytes of free disk below which the ledger may soon not be written."""
RELEASED = 1_767_225_600
"""1 January 2026: a clock before it is wrong, and every date in the ledger would be."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the doctor's: `fix` says what to do about a warning or a failure."""

    check: str
    state: Literal["ok", "warn", "fail"]
    what: str
    fix: str = ""


def ok(check: str, what: str) -> Finding:
    return Finding(check=check, state="ok", what=what)


def warn(check: str, what: str, fix: str) -> Finding:
    return Finding(check=check, state="warn", what=what, fix=fix)


def fail(check: str, what: str, fix: str) -> Finding:
    return Finding(check=check, state="fail", what=what, fix=fix)


def python() -> Iterator[Finding]:
    """The version is only told: pip installs on none that is too old."""
    yield ok("python", f"Python {'.'.join(map(str, sys.version_info[:3]))}, {sys.platform}")


def clock() -> Iterator[Finding]:
    now = time.time()
    if now < RELEASED:
        yield fail("clock", f"The clock says {time.strftime('%Y-%m-%d', time.gmtime(now))}.", "Set the clock.")
    else:
        yield ok("clock", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now)))


def encoder() -> Iterator[Finding]:
    """The house encoder's files against their hashes, and one sentence through it."""
    try:
        from trimtab.encode.encoder import Encoder

        found = Encoder.load()
        try:
            size = found.embed_now(["Is it there?"]).shape[1]
        finally:
            found.close()
    except TrimtabError as error:
        yield fail("encoder", error.message, error.fix)
    except (ImportError, OSError, RuntimeError) as error:
        yield fail("encoder", f"It does not run: {error}.", "Reinstall: pip install --force-reinstall trimtab")
    else:
        yield ok("encoder", f"hashes right, {size} numbers for a sentence")


def kinds(settings: Settings) -> Iterator[Finding]:
    """Every kind that the recipe names, with its options."""
    parts: list[tuple[str, Any]] = [
        *(("guard", part) for part in settings.guards), ("route", settings.route),
        *(("answer", part) for part in settings.models), *(("verify", part) for part in settings.verifiers),
        *(("record", part) for part in settings.recorders),
        *((stage, part) for stage, part in (("retrieve", settings.retrieve), ("approve", settings.approve)) if part),
    ]  # fmt: skip
    failed = [problem for stage, part in parts for problem in _kind(stage, part)]
    yield from failed or (ok("kinds", f"{len(parts)} parts of the recipe load"),)


def _kind(stage: str, part: Any) -> Iterator[Finding]:
    try:
        load.options(stage, part.kind, part.options)
    except TrimtabError as error:
        yield fail("kinds", error.message, error.fix)


def home(settings: Settings) -> Iterator[Finding]:
    """Whether the state's folder can be written, and has room."""
    folder = _existing(settings.home)
    try:
        probe = folder / f".trimtab-doctor-{time.time_ns()}"
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        yield fail("home", f"{folder} cannot be written: {error.strerror}.", "Set TRIMTAB_HOME to a folder of yours.")
        return
    yield ok("home", f"{settings.home} can be written")
    free = shutil.disk_usage(folder).free
    if free < ROOM:
        yield warn(
            "disk", f"{free / 1e9:.1f} GB free", "Make room: the ledger stops answers when it cannot be written."
        )
    else:
        yield ok("disk", f"{free / 1e9:.0f} GB free")


def _existing(folder: Path) -> Path:
    return folder if folder.is_dir() else next(parent for parent in folder.parents if parent.is_dir())


def documents(settings: Settings) -> Iterator[Finding]:
    """Whether what the retriever is to read is there."""
    if not settings.retrieve:
        return
    for given in settings.retrieve.options.get("paths", ()):
        path = settings.folder / given
        count = sum(1 for file in path.rglob("*") if file.is_file()) if path.is_dir() else int(path.is_file())
        if count:
            yield ok("documents", f"{path}: {count} file{'s' * (count != 1)}")
        else:
            yield warn("documents", f"{path} has no file.", "Put documents there, or mend [retrieve] paths.")


def port(settings: Settings, ours: str | None) -> Iterator[Finding]:
    """Whether the gateway's port is free; `ours` is the version of the Trimtab that listens there."""
    where = f"{settings.server.host}:{settings.server.port}"
    if ours:
        yield ok("port", f"{where}: Trimtab {ours} listens there")
        return
    try:
        take(settings.server.host, settings.server.port).close()
    except OSError as error:
        fix = "Stop what listens there, or use trimtab serve --port with another one."
        yield warn("port", f"{where} cannot be had: {error.strerror or error}.", fix)
    else:
        yield ok("port", f"{where} is free")


def take(host: str, number: int) -> socket.socket:
    """A socket bound to an address. Raises `OSError` where it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((host, number))
    except OSError:
        taken.close()
        raise
    return taken


def keys(settings: Settings) -> Iterator[Finding]:
    """The variables that are set, by name; their values are never shown."""
    named = {str(name) for part in settings.models if (name := part.options.get("key_env"))}
    present = sorted(settings.secrets)
    yield ok("keys", f"set: {', '.join(present) or 'none'} (looked for: {', '.join(sorted({*SECRETS, *named}))})")
    for name in sorted(named - set(present)):
        yield warn("keys", f"The recipe names {name}, and it is not set.", f"export {name}=...")
