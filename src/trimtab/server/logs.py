"""The log: one line for each event on stderr, as JSON or as text, with the request's trace and without its words.

What an exception says may quote anything, a prompt or a key: of exceptions the line has the class, our own code, and
where in the code they arose. A line's event is the constant part of what was logged; an argument is shown only where it
is a name or a number. Of other libraries it has the first words.
"""

import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import IO, Any, Literal

from trimtab.errors import CODES, TrimtabError
from trimtab.record._scrub import SECRET
from trimtab.types import Json

TRACE: ContextVar[str] = ContextVar("trace", default="")
"""The id of the request that is being served; the gateway sets it where it makes one."""
ID = re.compile(r"tr_[0-9a-f]{32}")
PART = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
"""Arguments that are shown: names of parts, classes, ids. Addresses have `@` or `/`, sentences have blanks."""
SERVERS = ("uvicorn", "uvicorn.error", "uvicorn.access")
FRAMES = 8
LONGEST = 200


@contextmanager
def opened(style: Literal["json", "text"], stream: IO[str] | None = None, level: int = logging.INFO) -> Iterator[None]:
    """Write all that is logged to `stream` (stderr) while inside; what was set up before comes back after.

    The server's own handlers are taken off: give uvicorn `log_config=None`.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Json_() if style == "json" else Text_())
    handler.setLevel(level)
    root = logging.getLogger()
    ours = logging.getLogger("trimtab")
    names = [root, ours, *(logging.getLogger(name) for name in SERVERS)]
    before = [(logger, logger.handlers[:], logger.propagate, logger.level) for logger in names]
    for logger in names:
        logger.handlers, logger.propagate = [], True
    root.handlers = [handler]
    root.setLevel(logging.WARNING)  # what other libraries have to tell is theirs
    ours.setLevel(level)
    try:
        yield
    finally:
        for logger, handlers, propagate, was in before:
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(was)


class Json_(logging.Formatter):  # noqa: N801 - `Json` is a type of ours
    """One JSON object a line: `time` (RFC 3339, UTC), `level`, `logger`, `event`, `trace` and what else is known."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(fields(record), default=str)


class Text_(logging.Formatter):  # noqa: N801 - beside `Json_`
    """The same for people: time, level, logger, event, then `key=value`."""

    def format(self, record: logging.LogRecord) -> str:
        found = fields(record)
        head = " ".join(str(found.pop(key)) for key in ("time", "level", "logger", "event"))
        return " ".join([head, *(f"{key}={json.dumps(value, default=str)}" for key, value in found.items())])


def fields(record: logging.LogRecord) -> Json:
    """What a line says of a record."""
    args = record.args if isinstance(record.args, tuple) else ()
    found: Json = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(), "logger": record.name, "event": event(record),
    }  # fmt: skip
    if trace := next((arg for arg in args if isinstance(arg, str) and ID.fullmatch(arg)), TRACE.get()):
        found["trace"] = trace
    if error := _error(record, args):
        found |= {"error": type(error).__name__, **_code(error), "at": _frames(error)}
    given = getattr(record, "fields", None)
    return {**found, **given} if isinstance(given, dict) else found


def event(record: logging.LogRecord) -> str:
    """The line's event; of other libraries the first line of their constant text, since they format before they log."""
    text = str(record.msg).partition("\n")[0]
    ours = record.name.startswith("trimtab")
    if not record.args or not ours:
        return text[:LONGEST] if ours else _first_words(text)
    args = record.args if isinstance(record.args, tuple) else ()
    try:
        return (text % tuple(shown(arg) for arg in args))[:LONGEST]
    except (TypeError, ValueError):
        return _first_words(text)


def shown(arg: Any) -> Any:
    """An argument as a line may have it."""
    if isinstance(arg, bool | int | float) or arg is None:
        return arg
    if isinstance(arg, BaseException):
        return type(arg).__name__
    if isinstance(arg, str) and PART.fullmatch(arg) and not SECRET.search(arg):
        return arg
    return "[...]"


def _first_words(text: str) -> str:
    """The words of a foreign text up to the first that is more than a word."""
    words: list[str] = []
    for word in text.split(" ")[:20]:
        if not WORD.fullmatch(word):
            break
        words.append(word)
    return " ".join(words)[:LONGEST] or "[...]"


WORD = re.compile(r"[A-Za-z][A-Za-z'-]{0,19}[.,:]?")


def _error(record: logging.LogRecord, args: tuple[Any, ...]) -> BaseException | None:
    if isinstance(record.exc_info, tuple) and record.exc_info[1]:
        return record.exc_info[1]
    return next((arg for arg in args if isinstance(arg, BaseException)), None)


def _code(error: BaseException) -> Json:
    """The code of our own error, if it is one of those that its class or this program gives."""
    return {"code": error.code} if isinstance(error, TrimtabError) and error.code in CODES else {}


def _frames(error: BaseException) -> list[str]:
    """The innermost places, nearest last: file, line and function, no line of source and no value."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    return [f"{'/'.join(frame.filename.rsplit('/', 2)[-2:])}:{frame.lineno} {frame.name}" for frame in frames]
