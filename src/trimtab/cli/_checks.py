"""What `doctor` looks at: each check yields findings, and none of them changes anything or calls a model."""

import errno
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from trimtab import load
from trimtab.cli import _home, _recipe
from trimtab.errors import TrimtabError
from trimtab.settings import SECRETS, Settings

if TYPE_CHECKING:
    from trimtab.cli._service import Peer

ROOM = 500_000_000
"""Bytes of free disk below which the ledger may soon not be written."""
SHOWN = 10
"""Skipped documents that are named."""
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
    try:
        folder = _existing(settings.home)
        probe = folder / f".trimtab-doctor-{time.time_ns()}"
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        what = f"{settings.home} cannot be made or written: {error.strerror}."
        yield fail("home", what, "Set TRIMTAB_HOME to a folder that you can write.")
        return
    yield ok("home", f"{settings.home} can be written")
    free = shutil.disk_usage(folder).free
    if free < ROOM:
        yield warn(
            "disk", f"{free / 1e9:.1f} GB free", "Make room: on a full disk nothing is recorded, and /readyz says no."
        )
    else:
        yield ok("disk", f"{free / 1e9:.0f} GB free")


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there. Raises `OSError` where a file is in the way."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"{there} is a file")
    return there


def shared(settings: Settings) -> Iterator[Finding]:
    """Whether another recipe keeps its state in the same folder: a copy that kept its name does."""
    for other in _home.others(settings):
        what = f"{other} uses {settings.home} too: the two share ledger, tickets and cache."
        yield warn("home", what, 'Give each recipe its own name = "..." (and its own port), or its own TRIMTAB_HOME.')


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


def skipped(said: Sequence[str]) -> Iterator[Finding]:
    """The documents that the retriever told it does not read, among all that was said at a start."""
    files = [line.removeprefix("Skipped ").rstrip(".") for line in said if line.startswith("Skipped ")]
    if files:
        more = f"; and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
        what = f"{len(files)} file{'s' * (len(files) != 1)} not read: {'; '.join(files[:SHOWN])}{more}."
        yield warn("documents", what, "Save them as UTF-8 text, Markdown, HTML or CSV, or move them elsewhere.")


def port(settings: Settings, peer: "Peer | None") -> Iterator[Finding]:
    """Whether the gateway's port is free; `peer` is the Trimtab that listens there."""
    where = f"{settings.server.host}:{settings.server.port}"
    other = f"Stop what listens there, or take another port: {_recipe.hint('serve --port 0', _recipe.of(settings))}"
    if peer and peer.system == settings.identity:
        yield ok("port", f"{where}: Trimtab {peer.version} listens there, with this recipe")
        return
    if peer:
        what = f"{where}: a Trimtab {peer.version} listens there with another recipe, home or other models."
        yield warn("port", what, other)
        return
    try:
        take(settings.server.host, settings.server.port).close()
    except OSError as error:
        yield warn("port", f"{where} cannot be had: {error.strerror or error}.", other)
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
