"""What commands print: data on stdout, everything else on stderr, colour only on a terminal (rich minds NO_COLOR)."""

import shlex
import sys
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA = 1
PLAIN_WIDTH = 120
"""Columns of a table that is not shown on a terminal."""


def emit(value: dict[str, Any]) -> None:
    """One JSON object as one line on stdout, with the version of its shape."""
    sys.stdout.write(msgspec.json.encode({"schema_version": SCHEMA, **value}).decode() + "\n")
    sys.stdout.flush()


def say(line: str) -> None:
    """A notice or progress, on stderr."""
    print(line, file=sys.stderr, flush=True)


def program() -> str:
    """How this program is called from here, for a shell: by its name where that is on the path, else by its file, or as
    the module that it was called as."""
    name = Path(sys.argv[0])
    if name.name == "__main__.py":
        return f"{Path(sys.executable).name} -m trimtab"
    if which(name.name) == str(name.absolute()):
        return name.name
    return shlex.quote(str(name.relative_to(Path.cwd())) if name.is_relative_to(Path.cwd()) else str(name))


def console(*, error: bool = False) -> "Console":
    """A rich console on stdout (or stderr); off a terminal it is plain and does not wrap at 80."""
    from rich.console import Console

    stream = sys.stderr if error else sys.stdout
    return Console(stderr=error, width=None if stream.isatty() else PLAIN_WIDTH, highlight=False, soft_wrap=False)


def fault(message: str, fix: str, *, code: str, type: str, param: str | None = None, json: bool = False) -> None:
    """An error as two plain lines on stderr, and with `json` as an object on stdout."""
    say(f"error: {message}")
    if fix:
        say(f"  fix: {fix}")
    if json:
        emit({"error": {"message": message, "fix": fix, "type": type, "code": code, "param": param}})
