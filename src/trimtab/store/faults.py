"""What a database error means for the person who has to mend it."""

from pathlib import Path

from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from trimtab.errors import StorageError

ELSEWHERE = "Set TRIMTAB_HOME to a folder that you can write."
REMEDIES = (
    ("is full", "Free space on that disk, or set TRIMTAB_HOME to another one."),
    ("no space", "Free space on that disk, or set TRIMTAB_HOME to another one."),
    ("i/o error", "Check the disk and its free space, or set TRIMTAB_HOME to another one."),
    ("readonly", "Make the file and its folder writable, or set TRIMTAB_HOME to a folder that is."),
    ("unable to open", "Make its folder exist and writable, or set TRIMTAB_HOME to a folder that is."),
    ("locked", "Another process holds the database: end it, or wait until it is done."),
    ("not a database", "Move the file aside to begin anew, or put a backup in its place."),
    ("malformed", "Move the file aside to begin anew, or put a backup in its place."),
)


def explain(error: BaseException, path: Path) -> StorageError:
    """A `StorageError` for what the database or the file system said; the values of the row are never in it."""
    if isinstance(error, StorageError):
        return error
    said = _said(error)
    if isinstance(error, IntegrityError):
        return StorageError(f"{path} does not take a row: {said}.", "Check its id.", code="row_not_taken")
    low = said.lower()
    if isinstance(error, OSError) and "no space" not in low and "i/o error" not in low:
        where = path if isinstance(error, IsADirectoryError) else f"The folder {path.parent}"
        return StorageError(f"{where} cannot be used: {said}.", ELSEWHERE)
    fix = next((remedy for sign, remedy in REMEDIES if sign in low), "See the database's message.")
    return StorageError(f"{path} cannot be used: {said}.", fix)


def _said(error: BaseException) -> str:
    """The driver's own sentence: SQLAlchemy's would show the statement and its parameters."""
    if isinstance(error, SQLAlchemyError):
        return str(getattr(error, "orig", None) or type(error).__name__)
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return type(error).__name__
