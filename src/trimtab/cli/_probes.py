"""Probes: requests with the decision they must get, one JSON object a line in a recipe's `probes.jsonl`.

`ask` is the user's text; `expect.by` who must decide: a model's name, `refused` or `person`, or a list of those;
`expect.impact` what the route must think of it; `why` is for the reader. `params` are further fields of the request,
`cache` says whether a cached answer will do (a tour must give the same decisions twice).
"""

from pathlib import Path
from typing import Any, Literal

import msgspec

from trimtab.errors import ConfigError

FILE = "probes.jsonl"


class Expectation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    by: str | tuple[str, ...]
    impact: Literal["low", "high"] | None = None

    @property
    def deciders(self) -> tuple[str, ...]:
        return (self.by,) if isinstance(self.by, str) else self.by


class Probe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    ask: str
    expect: Expectation
    why: str = ""
    cache: bool = False
    params: dict[str, Any] = {}


def read(folder: Path) -> tuple[Probe, ...]:
    """The probes of a recipe's folder. Raises `ConfigError` with the line that is wrong."""
    path = folder / FILE
    if not path.is_file():
        raise ConfigError(f"{folder.name} has no {FILE}.", f"Write one: {path}.")
    lines = enumerate(path.read_text("utf-8").splitlines(), start=1)
    return tuple(_probe(path, number, line) for number, line in lines if line.strip())


def _probe(path: Path, number: int, line: str) -> Probe:
    try:
        return msgspec.json.decode(line, type=Probe)
    except msgspec.DecodeError as error:
        raise ConfigError(
            f"{path.name} line {number}: {error}.", 'A probe is {"ask": ..., "expect": {"by": ...}}.'
        ) from error
