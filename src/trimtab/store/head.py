"""The end of the audit chain in a file outside of the database: one line, `<rows> <hash>`, replaced as a whole."""

import os
import re
from pathlib import Path

import msgspec

ZERO = "0" * 64
"""The hash before the first row."""
LINE = re.compile(r"(\d{1,18}) ([0-9a-f]{64})\n?")


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The last row's number and hash; 0 and `ZERO` where there is none."""

    seq: int
    hash: str


def read(path: Path) -> Head | None:
    """The head in a file, None where there is no file. Raises `OSError`, `ValueError`."""
    try:
        text = path.read_text("ascii")
    except FileNotFoundError:
        return None
    if not (found := LINE.fullmatch(text)):
        raise ValueError("it is not one line with a number and a hash")
    return Head(seq=int(found[1]), hash=found[2])


def write(path: Path, head: Head) -> None:
    """Replace the file as a whole; on disk once this returns. Raises `OSError`."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
        file.write(f"{head.seq} {head.hash}\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    if os.name != "posix":  # a folder cannot be synced there
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
