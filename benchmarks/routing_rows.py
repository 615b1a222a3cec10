"""The rows of a Parquet file of recorded outcomes: what of them can be used, and what is left out, by file and row.

Outcomes are from 0 to 1 (or true and false), in columns `ok:NAME`; in a file that has none, in columns of a model's
name alone. A file that cannot be read, a row without a question and a column of something else are left out with a
word. A missing value is none.
"""

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = dict[str, Any]
OUTCOME, LENGTH, TEXTS = "ok:", "chars:", ("text:", "pred:")
ASKED, WRITTEN = ("question", "prompt", "options"), ("mixtral_resp", "gpt4_resp")
LABELS = ("qid", "source", "task", "gold", "orig", "split", "domain")
Say = Callable[[str], None]


def rows_of(path: Path, most: int, say: Say = print) -> list[Row]:
    """At most so many rows, those of the lowest hash; none where there is no file, or none that can be read."""
    if not path.exists():
        return []
    from pyarrow import ArrowException
    from pyarrow.parquet import read_table

    try:
        rows = read_table(path).to_pylist()
    except (ArrowException, OSError, ValueError) as error:
        say(f"Skipped {path.name}: it cannot be read as Parquet ({str(error).splitlines()[0]}).")
        return []
    rows = checked(rows, path.name, say)
    return rows if len(rows) <= most else sorted(rows, key=lambda row: marked(sent(row)))[:most]


def checked(rows: list[Row], name: str, say: Say = print) -> list[Row]:
    """The rows that ask something, and of them the columns that hold what they should; all outcomes under `ok:`."""
    kept = [(at, row) for at, row in enumerate(rows, 1) if asks(row)]
    if not kept:
        say(f"Skipped {name}: none of its {len(rows)} rows has a question.")
        return []
    if len(kept) < len(rows):
        first = next(at for at, row in enumerate(rows, 1) if not asks(row))
        say(f"Left out of {name}: {len(rows) - len(kept)} of {len(rows)} rows, which have no question or choices that "
            f"cannot be read; the first is row {first}.")  # fmt: skip
    bare = not any(column.startswith(OUTCOME) for column in rows[0])
    found: list[Row] = [{column: row[column] for column in ASKED if column in row} for _, row in kept]
    for column in rows[0]:
        if column in ASKED:
            continue
        title = f"{OUTCOME}{column}" if bare and alone(column) else column
        read = reader(title)
        for into, (at, row) in zip(found, kept, strict=True):
            try:
                into[title] = None if row[column] is None else read(row[column])
            except (TypeError, ValueError) as error:
                say(f"Left out of {name}, column {column}: in row {at} {str(row[column])[:40]!r} is {error}.")
                break
        else:
            continue
        for into in found:
            into.pop(title, None)
    return found


def alone(column: str) -> bool:
    """Whether a column may be a model's name."""
    return column not in (*LABELS, *WRITTEN) and not column.startswith((LENGTH, *TEXTS))


def asks(row: Row) -> bool:
    """Whether there is a question, and choices that can be read where there are some."""
    try:
        return bool(sent(row).strip())
    except (KeyError, TypeError, ValueError):
        return False


def sent(row: Row) -> str:
    """The question as it is asked. Raises `KeyError`, `TypeError`, `ValueError` for what is none."""
    asked, options = bare(row), row.get("options")
    if not asked or not options:
        return asked
    options = json.loads(options) if isinstance(options, str) else options
    return asked + "\n" + "\n".join(f"{chr(65 + at)}. {one}" for at, one in enumerate(options))


def bare(row: Row) -> str:
    """The question without its choices. Raises `KeyError`, `TypeError` where there is none."""
    asked = row.get("prompt") or row["question"]
    if not isinstance(asked, str):
        raise TypeError("no text")
    return asked


def marked(asked: str) -> int:
    """A question's hash, whatever its case and white space."""
    return int(hashlib.sha256(" ".join(asked.lower().split()).encode()).hexdigest()[:8], 16)


def reader(column: str) -> Callable[[Any], Any]:
    """What makes a column's value what it should be, or raises `TypeError`, `ValueError` with what it is not."""
    if column.startswith(OUTCOME):
        return outcome
    if column.startswith(LENGTH):
        return length
    return said if column.startswith(TEXTS) or column in WRITTEN else lambda value: value


def outcome(value: Any) -> float | None:
    if not isinstance(value, bool | int | float):
        raise TypeError("no outcome from 0 to 1")
    if math.isnan(value):
        return None
    if not 0 <= value <= 1:
        raise ValueError("no outcome from 0 to 1")
    return float(value)


def length(value: Any) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
        raise ValueError("no length")
    return None if math.isnan(value) else float(value)


def said(value: Any) -> str:
    if isinstance(value, int | float):
        return f"{value:.15g}"
    if not isinstance(value, str):
        raise TypeError("no text")
    return value
