"""Which recipes have used a state folder: two in one share their ledger and their tickets, which is seldom meant."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.errors import TrimtabError

if TYPE_CHECKING:
    from trimtab.settings import Settings

FILE = "recipes"
"""In the state folder: the path of every recipe that was run there, one a line."""


def mark(settings: "Settings") -> None:
    """Note the recipe in its state folder. Where there is none, or it cannot be written, nothing is noted."""
    file = str(settings.file)
    if not settings.home.is_dir() or file in _noted(settings.home):
        return
    with suppress(OSError, UnicodeEncodeError), (settings.home / FILE).open("a", encoding="utf-8") as notes:
        notes.write(f"{file}\n")


def others(settings: "Settings") -> tuple[str, ...]:
    """The other recipes that were run in this state folder, are still there and would use it again."""
    return tuple(file for file in _noted(settings.home) if file != str(settings.file) and _uses(file, settings.home))


def _noted(home: Path) -> tuple[str, ...]:
    try:
        return tuple((home / FILE).read_text("utf-8").splitlines())
    except (OSError, UnicodeDecodeError):
        return ()


def _uses(file: str, home: Path) -> bool:
    from trimtab import settings

    try:
        return settings.load(file).home.absolute() == home.absolute()
    except (TrimtabError, OSError):
        return False
