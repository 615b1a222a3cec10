"""The windows of the calendar in which limits and paces are counted, and what was taken of one on disk. In UTC."""

from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection, select

from trimtab.store.tables import windows

Per: TypeAlias = Literal["minute", "hour", "day", "month"]
SECONDS: dict[str, int] = {"minute": 60, "hour": 3600, "day": 86400}


def window(per: Per, now: float) -> tuple[int, int]:
    """The first second of the window that `now` (epoch seconds) is in, and the first one after it."""
    if per != "month":
        size = SECONDS[per]
        start = int(now) // size * size
        return start, start + size
    at = datetime.fromtimestamp(now, UTC)
    first = datetime(at.year, at.month, 1, tzinfo=UTC)
    after = datetime(at.year + at.month // 12, at.month % 12 + 1, 1, tzinfo=UTC)
    return int(first.timestamp()), int(after.timestamp())


def left(start: float, end: float, now: float) -> bool:
    """Whether a clock has left a window: it is over, or the clock was set back by more than the window's length.

    Set back by less it stays, so that a small correction begins no window twice; by more, the later window was never
    there, and who stayed in it would wait for it.
    """
    return not 2 * start - end <= now < end


def taken(connection: Connection, subject: str, what: str, per: Per, start: int) -> int:
    """What all processes have taken."""
    return connection.execute(select(windows.c.taken).where(*_at(subject, what, per, start))).scalar() or 0


def take(connection: Connection, subject: str, what: str, per: Per, start: int, amount: int) -> None:
    """Take so much more, in the one writing transaction of all processes."""
    added = windows.update().where(*_at(subject, what, per, start)).values(taken=windows.c.taken + amount)
    if not connection.execute(added).rowcount:
        row = {"subject": subject, "what": what, "per": per, "start": start, "taken": amount}
        connection.execute(windows.insert().values(**row))


def _at(subject: str, what: str, per: Per, start: int) -> tuple[Any, ...]:
    w = windows.c
    return w.subject == subject, w.what == what, w.per == per, w.start == start
