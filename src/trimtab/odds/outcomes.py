"""Outcome files: one JSON object a line, what each model made of one question; every fault is named by its row.

    {"question": "...", "right": {"small": 1, "large": 0.5}, "answers": {"small": "..."}, "cost": {"small": 0.0002}}

`right` is from 0 to 1 for each model that was asked; `answers` (their texts) and `cost` (USD) may be left out, and so
may `tokens` (prompt and completion of each model's call) and `seen`: where the outcomes of a model are there for some
rows alone, the probability with which this row's was to be there, which `trimtab replay` needs.
"""

from pathlib import Path
from typing import Annotated

import msgspec

from trimtab.errors import ConfigError

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Usd = Annotated[float, msgspec.Meta(ge=0)]
Chance = Annotated[float, msgspec.Meta(gt=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
SHAPE = 'A row is {"question": "...", "right": {"a-model": 0 to 1}}; answers, cost, tokens and seen are optional.'


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One question, and what became of it."""

    question: Annotated[str, msgspec.Meta(min_length=1)]
    right: dict[str, Share]
    answers: dict[str, str] = {}
    cost: dict[str, Usd] = {}
    tokens: dict[str, tuple[Count, Count]] = {}
    seen: dict[str, Chance] = {}


def read(path: Path) -> tuple[Outcome, ...]:
    """The file's outcomes. Raises `ConfigError` with the row that cannot be read, and for a file without any."""
    decode = msgspec.json.Decoder(Outcome).decode
    found: list[Outcome] = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}).", SHAPE) from error
    for row, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(decode(line))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}, row {row}: {error}.", SHAPE) from error
    if not found:
        raise ConfigError(f"{path} holds no outcome.", SHAPE)
    return tuple(found)


def having(outcomes: tuple[Outcome, ...], *models: str) -> tuple[Outcome, ...]:
    """Those in which every one of `models` was asked. Raises `ConfigError` for a model that no row has."""
    known = sorted({name for one in outcomes for name in one.right})
    if unknown := [name for name in models if name not in known]:
        raise ConfigError(f"No row has an outcome of {', '.join(unknown)}.", f"The rows have: {', '.join(known)}.")
    return tuple(one for one in outcomes if all(name in one.right for name in models))
