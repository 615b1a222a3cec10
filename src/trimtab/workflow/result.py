"""What comes of a step, and of an item: values."""

from typing import Any, TypeAlias

import msgspec


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """It gave `output`; `cost` in nanodollars, None where unknown."""

    output: Any
    cost: int | None = 0


class Waits(msgspec.Struct, frozen=True, kw_only=True):
    """A person decides on the ticket."""

    ticket: str
    why: str
    step: str = ""
    cost: int | None = 0


class Fails(msgspec.Struct, frozen=True, kw_only=True):
    """It gave nothing, by which code and why.

    `retry`: another try may help. `unknown`: nobody knows whether a side effect happened.
    """

    code: str
    why: str
    retry: bool = False
    unknown: bool = False
    cost: int | None = 0
    step: str = ""


Result: TypeAlias = Done | Waits | Fails
