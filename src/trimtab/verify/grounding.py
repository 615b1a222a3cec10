"""Checks that what an answer says is supported by the passages it was given, sentence by sentence.

Words, figures, names and what the house encoder finds nothing near make a probability for each sentence (`_support`);
an answer is as good as its worst one. A sentence that cites passages by their numbers is held against those alone. A
question and a sentence of a word or two claim nothing. It tells an answer that is not in the passages from one that is;
it does not tell a true answer from a false one, and it reads English.
"""

import asyncio
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Literal, cast

import msgspec

from trimtab.errors import ConfigError
from trimtab.ports import Tools
from trimtab.sentences import sentences
from trimtab.types import Answer, Evidence, Json, ModelSpec, Request, Verdict
from trimtab.verify import _cited
from trimtab.verify._cited import Said
from trimtab.verify._support import Known, claims, features, known, odd, probability, unit

MOST = 200_000
"""Characters of an answer and its passages together that are read; beyond, the answer is doubted."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`threshold` is the least probability of a sentence. `require` doubts an answer without passages.

    What follows from sentences below it: `escalate` doubts the answer, `cut` takes them out of it, `flag` writes
    `[unsupported]` after each; where more than the share `most` of all are so, or JSON was asked for, it is doubted
    in any case. `cite` counts a sentence without a citation among them, where the answer was given numbered passages.
    `models` are the rungs that are checked; empty means all but the cache, which was checked when it was filled.
    """

    threshold: float = 0.5
    require: bool = False
    unsupported: Literal["escalate", "cut", "flag"] = "escalate"
    most: float = 0.5
    cite: bool = False
    models: tuple[str, ...] = ()


def build(options: Options, tools: Tools) -> "Grounding":
    """Raises `ConfigError` for a threshold or a share outside [0, 1]."""
    for name, value in {"threshold": options.threshold, "most": options.most}.items():
        if not 0 <= value <= 1:
            raise ConfigError(f"verify {tools.name!r}: {name} = {value} is no probability.", "Give one from 0 to 1.")
    return Grounding(options, tools)


class Grounding:
    """The verifier."""

    def __init__(self, options: Options, tools: Tools) -> None:
        self._options, self._tools = options, tools

    def applies(self, request: Request, spec: ModelSpec) -> bool:
        if self._options.models:
            return spec.name in self._options.models
        return "cache" not in spec.abilities

    async def verify(self, request: Request, evidence: Evidence, answer: Answer) -> Verdict:
        """Not ok: `ungrounded` with the worst sentence's probability, `no_evidence`, `too_long`."""
        passages = [passage.text for passage in evidence.passages]
        if not (answer.text or "").strip():
            return self._ok("It says nothing that evidence could support.")
        if not passages:
            return (
                self._no("no_evidence", "No passage was given.") if self._options.require else self._ok("No passage.")
            )
        if len(answer.text or "") + sum(map(len, passages)) > MOST:
            return self._no("too_long", f"The answer and its passages have more than {MOST:,} characters.")
        marked = _cited.marked(answer, evidence.passages)
        said, there = await asyncio.to_thread(_cut, answer.text or "", passages, marked)
        if not said:
            return self._ok("It says nothing that evidence could support.")
        found = await self._supported(said, there, must_cite=marked and self._options.cite)
        return self._judged(request, evidence, answer, said, found)

    async def _supported(self, said: Sequence[Said], there: Sequence[Sequence[str]], must_cite: bool) -> list[float]:
        """P(supported) of each sentence said, by what it cites or else by all; 0 where it cites what there is not."""
        lines = [line for passage in there for line in passage]
        encoder = self._tools.encoder()
        states = [unit(one) for one in await encoder.states([*(one.text for one in said), *lines])]
        mine = [state[encoder.wordy(one.text)] for one, state in zip(said, states, strict=False)]
        return await asyncio.to_thread(_chances, said, there, mine, states[len(said) :], must_cite)

    def _judged(
        self, request: Request, evidence: Evidence, answer: Answer, said: Sequence[Said], found: list[float]
    ) -> Verdict:
        worst, least, given = min(found), self._options.threshold, self._options
        where = f"Sentence {found.index(worst) + 1} of {len(found)} that claim something"
        if worst >= least:
            return msgspec.structs.replace(self._ok(f"{where}, the worst, is supported to {worst:.3f}."), score=worst)
        bad = [one for one, chance in zip(said, found, strict=True) if chance < least]
        if given.unsupported == "escalate" or len(bad) > given.most * len(said) or _wants_json(request):
            return self._no("ungrounded", f"{where} is supported to {worst:.3f} and must be to {least:.3f}.", worst)
        if given.unsupported == "flag":
            return self._mended("flagged", f"{where} is supported to {worst:.3f}.", _cited.flagged(answer, bad), worst)
        kept = min((chance for chance in found if chance >= least), default=least)
        why = f"{len(bad)} of {len(said)} sentences are supported to less than {least:.3f}, and were cut."
        return self._mended("cut", why, _cited.without(answer, bad, evidence.passages), kept)

    def _mended(self, code: str, why: str, answer: Answer, score: float) -> Verdict:
        return Verdict(ok=True, by=self._tools.name, code=code, why=why, score=score, answer=answer)

    def _ok(self, why: str) -> Verdict:
        return Verdict(ok=True, by=self._tools.name, why=why)

    def _no(self, code: str, why: str, score: float | None = None) -> Verdict:
        return Verdict(ok=False, by=self._tools.name, code=code, why=why, score=score)


def _cut(answer: str, passages: Sequence[str], marked: bool) -> tuple[list[Said], list[list[str]]]:
    """The answer's sentences that claim something, and the sentences of each passage."""
    said = [one for one in _cited.said(answer, marked) if claims(one.text)]
    return said, [[passage[part.start : part.end] for part in sentences(passage)] for passage in passages]


def _chances(
    said: Sequence[Said], there: Sequence[Sequence[str]], mine: Sequence[Any], theirs: Sequence[Any], must_cite: bool
) -> list[float]:
    """`mine` are the token embeddings of each sentence said, `theirs` those of each line of all passages."""
    ends = [0, *accumulate(map(len, there))]
    everything, made, chances = tuple(range(1, len(there) + 1)), dict[tuple[int, ...], Known](), list[float]()
    for one, states in zip(said, mine, strict=True):
        cites = one.cites or (() if must_cite else everything)
        if not cites or not all(0 < number <= len(there) for number in cites):
            chances.append(0.0)
            continue
        if cites not in made:
            made[cites] = known([line for number in cites for line in there[number - 1]])
        lines = [line for number in cites for line in theirs[ends[number - 1] : ends[number]]]
        chances.append(probability(features(one.text, made[cites], odd(states, lines))))
    return chances


def _wants_json(request: Request) -> bool:
    wanted = request.params.get("response_format")
    return isinstance(wanted, dict) and cast("Json", wanted).get("type", "text") != "text"
