"""Checks that what an answer says is supported by the passages it was given, sentence by sentence.

Words, figures and the house encoder's nearness make a probability for each sentence (see `_support`); an answer is as
good as its worst one. A question and a sentence of a word or two claim nothing. It tells an answer that is not in the
passages from one that is; it does not tell a true answer from a false one, and it reads English.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from trimtab.errors import ConfigError
from trimtab.ports import Tools
from trimtab.sentences import sentences
from trimtab.types import Answer, Evidence, ModelSpec, Request, Verdict
from trimtab.verify._support import claims, features, known, probability

MOST = 200_000
"""Characters of an answer and its passages together that are read; beyond, the answer is doubted."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`threshold` is the least probability of an answer's worst sentence. `require` doubts an answer without passages.

    `models` are the rungs that are checked; empty means all but the cache, which was checked when it was filled.
    """

    threshold: float = 0.5
    require: bool = False
    models: tuple[str, ...] = ()


def build(options: Options, tools: Tools) -> "Grounding":
    """Raises `ConfigError` for a threshold outside [0, 1]."""
    if not 0 <= options.threshold <= 1:
        raise ConfigError(
            f"verify {tools.name!r}: threshold = {options.threshold} is no probability.", "Give one from 0 to 1."
        )
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
        said, there = await asyncio.to_thread(_cut, answer.text or "", passages)
        if not said:
            return self._ok("It says nothing that evidence could support.")
        return self._judged(await self._supported(said, there))

    async def _supported(self, said: Sequence[str], there: Sequence[str]) -> list[float]:
        """P(supported) of each sentence said."""
        rows = await self._tools.encoder().embed([*said, *there])
        near = (rows[: len(said)] @ rows[len(said) :].T).max(axis=1, initial=0.0)
        return await asyncio.to_thread(_probabilities, said, there, near.tolist())

    def _judged(self, found: list[float]) -> Verdict:
        worst, least = min(found), self._options.threshold
        where = f"Sentence {found.index(worst) + 1} of {len(found)} that claim something"
        if worst >= least:
            return msgspec.structs.replace(self._ok(f"{where}, the worst, is supported to {worst:.3f}."), score=worst)
        return self._no("ungrounded", f"{where} is supported to {worst:.3f} and must be to {least:.3f}.", worst)

    def _ok(self, why: str) -> Verdict:
        return Verdict(ok=True, by=self._tools.name, why=why)

    def _no(self, code: str, why: str, score: float | None = None) -> Verdict:
        return Verdict(ok=False, by=self._tools.name, code=code, why=why, score=score)


def _cut(answer: str, passages: Sequence[str]) -> tuple[list[str], list[str]]:
    """The answer's sentences that claim something, and all sentences of the passages."""
    said = [sentence for sentence in _sentences(answer) if claims(sentence)]
    return said, [sentence for passage in passages for sentence in _sentences(passage)]


def _sentences(text: str) -> list[str]:
    return [text[part.start : part.end] for part in sentences(text)]


def _probabilities(said: Sequence[str], there: Sequence[str], near: Sequence[float]) -> list[float]:
    evidence = known(there)
    return [probability(features(sentence, evidence, cosine)) for sentence, cosine in zip(said, near, strict=True)]
