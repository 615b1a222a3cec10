"""When samples of an answer say the same: their normal form, and how many votes settle it. Pure."""

import math
import re
from collections import Counter
from collections.abc import Hashable
from typing import Any

import msgspec

from trimtab.odds.final import final
from trimtab.odds.question import CHOICE
from trimtab.types import Answer
from trimtab.verify._mend import mended

MARKED = frozenset({"hashes", "box", "json", "said"})
"""Marks by which an answer names its final answer, see `odds.final`."""
SHORT = 40
"""Characters of an answer that is a figure with little around it: "42 km.", "It is 42."."""
LONGEST = 100_000
_WORD = re.compile(r"\w+")


def normal(answer: Answer, question: str) -> Hashable:
    """What two answers that say the same have in common: their calls, their JSON, their final answer, or their words.

    None where it says nothing.
    """
    if answer.tool_calls:
        return ("calls", tuple(_call(call) for call in answer.tool_calls))
    text = (answer.text or "")[:LONGEST].strip()
    if not text:
        return None
    if (value := _json(text)) is not None:
        return ("json", value)
    found, mark = final(text, bool(CHOICE.search(question)))
    if found and (mark in MARKED or len(text) <= SHORT):
        return ("final", found)
    return ("words", " ".join(_WORD.findall(text.casefold())))


def _call(call: dict[str, Any]) -> Hashable:
    body = call.get("function") or call.get("custom") or {}
    arguments = str(body.get("arguments") or body.get("input") or "")
    return (body.get("name"), _json(arguments) or arguments)


def _json(text: str) -> bytes | None:
    """JSON in one spelling; a text that is a bare word or a number is none."""
    found = mended(text) if text[:1] in "{[`" else None
    try:
        return msgspec.json.encode(msgspec.json.decode(found), order="sorted") if found else None
    except (msgspec.MsgspecError, RecursionError):
        return None


class Votes:
    """The votes of at most `most` samples; one answer wins with `share` of all, and with two at the least."""

    def __init__(self, most: int, share: float) -> None:
        self._most, self.needed = most, max(2, math.ceil(most * share - 1e-9))
        self._votes: Counter[Hashable] = Counter()
        self.cast = 0

    def add(self, said: Hashable) -> None:
        """One sample's; None is a sample that says nothing, or that could not be had."""
        self.cast += 1
        if said is not None:
            self._votes[said] += 1

    @property
    def first(self) -> int:
        """The votes of the answer that leads."""
        return max(self._votes.values(), default=0)

    @property
    def winner(self) -> Hashable:
        """The answer that has won; None as long as none has."""
        return next((said for said, count in self._votes.items() if count >= self.needed), None)

    @property
    def open(self) -> int:
        """How many more samples could settle it at best; 0 where it is settled, or nothing can win any more."""
        missing = self.needed - self.first
        return missing if 0 < missing <= self._most - self.cast else 0
