"""Answers from the evidence by quoting: picks the sentence that answers, says how sure it is, or passes.

It writes nothing of its own, so it cannot invent; what it can do is pick a wrong sentence, which is what the confidence
is about. Sentences are weighed by their words and meanings; where the encoder has a span head, that reads the best of
them beside the question, has a say in which it is and how sure, and says where in it the answer stands. Made for
English; one question at a time.
"""

import math
import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab import texts
from trimtab.answer._candidates import FEATURES, Candidate, candidates, features, readable
from trimtab.encode.span import Span
from trimtab.errors import ConfigError
from trimtab.money import estimate
from trimtab.ports import Model, Sink, Tools
from trimtab.sentences import plain, terms
from trimtab.types import FREE, Answer, Citation, Evidence, ModelSpec, Passage, Request, Usage, Verdict

MAX_QUESTION = 600
KEPT = 512  # sentences whose token embeddings stay in memory: about 15 MB
MAX_LEAD = 3.0  # a larger lead says no more; also that of an only candidate
SPREAD = 8.0  # of the span head's logits: divided by it they are much like the other features


class Weights(NamedTuple):
    """Of two logistic regressions, their bias first: what picks a row, and what says how sure.

    The second weighs the best row's score, its lead over the next, and its features in the columns `kept`.
    """

    pick: tuple[float, ...]
    sure: tuple[float, ...]
    kept: tuple[int, ...]


# Of `FEATURES`, and with the span head of its `lead` and `here` as well. Both from:
# python benchmarks/reader.py --data ../shared/data --fit (WORDS with --words)
WORDS = Weights((-15.108, 1.808, 2.045, 5.122, -0.411, 0.423, 9.338), (1.953, 1.324, 0.577, -3.384, -1.142), (0, 3))
SPANS = Weights(
    (-4.723, 0.834, -0.165, 3.014, -0.213, 0.195, 2.455, 1.83, -0.808),
    (-2.102, 2.221, 0.408, -2.309, -0.179, 0.099, -0.232, 0.005, 3.283, -2.289, 0.126),
    (0, 1, 2, 3, 4, 5, 6, 7),
)

_TASK = re.compile(
    r"\W*(?:(?:please|could you|can you|would you|kindly)\W+){0,2}"
    r"(?:write|compose|draft|translate|summari[sz]e|rewrite|rephrase|paraphrase|generate|imagine|pretend|act as|"
    r"brainstorm|roleplay|proofread)\b",
    re.IGNORECASE,
)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`threshold`: the P(right) below which it passes; `sentences`: how many are weighed by their words and meanings;
    `spans`: how many of these the span head reads.
    """

    threshold: float = 0.45
    sentences: int = 16
    spans: int = 3


def spec(options: Options) -> ModelSpec:
    """In process and free; takes one plain question and passages."""
    del options  # the same for all
    return ModelSpec(where="local", price=FREE, abilities=frozenset({"question", "evidence"}))


def build(options: Options, tools: Tools) -> Model:
    """Raises `ConfigError` for an option out of range."""
    if not (0 <= options.threshold <= 1 and 1 <= options.spans <= 20 and 1 <= options.sentences <= 200):
        raise ConfigError("The reader's options are out of range.", "threshold: 0-1; sentences: 1-200; spans: 1-20.")
    return Reader(options, tools)


class Reader:
    """The rung; it remembers the token embeddings of the sentences it read last."""

    def __init__(self, options: Options, tools: Tools, kept: int = KEPT) -> None:
        self._options, self._tools, self._kept = options, tools, kept
        self._states: OrderedDict[str, NDArray[np.float16]] = OrderedDict()

    async def answer(self, request: Request, evidence: Evidence, sink: Sink) -> Answer | Verdict:
        question = texts.question(request).strip()
        if no := unfit(question):
            return self._pass(*no)
        read, numbers = await self.read(question, evidence.passages)
        if not read:
            return self._pass("not_in_documents", "No passage of the documents fits the question.")
        best, sure = choose(numbers, self.weights)
        if sure < self._options.threshold:
            return self._pass("not_in_documents", "The documents do not clearly say.", sure)
        return self._quoted(question, read[best], sure)

    @property
    def weights(self) -> Weights:
        """What `choose` weighs the features with."""
        return SPANS if self._tools.encoder().spans else WORDS

    async def read(self, question: str, passages: Sequence[Passage]) -> "tuple[list[Found], NDArray[np.float64]]":
        """What may be quoted, and what `choose` goes by: a row for each.

        With a span head these are the `spans` sentences that the words prefer, and the head's opinion of each.
        """
        encoder = self._tools.encoder()
        found = candidates(question, passages, self._options.sentences)
        if not found:
            return [], np.zeros((0, len(FEATURES)))
        states = await self._embedded(question, [one.read for one in found])
        rows = features(question, found, states, encoder.tokens)
        if not encoder.spans:
            return [Found(one, readable(one)) for one in found], rows
        best = np.argsort(-(rows @ np.array(WORDS.pick[1:])), kind="stable")[: self._options.spans]
        read = [Found(found[at], readable(found[at])) for at in best]
        said = await encoder.span(question, [one.text for one in read])
        opinions = [(span.lead / SPREAD, span.here / SPREAD) if span else (-1.0, -1.0) for span in said]
        return [one.at(span) for one, span in zip(read, said, strict=True)], np.hstack([rows[best], opinions])

    async def _embedded(self, question: str, read: list[str]) -> list[NDArray[np.float32]]:
        """Unit token embeddings of the question, which is not remembered, and of each text."""
        known = {text: self._states[text] for text in read if text in self._states}
        new = [text for text in dict.fromkeys(read) if text not in known]
        asked, *states = map(_unit, await self._tools.encoder().states([question, *new]))
        known |= zip(new, states, strict=True)
        self._remember(known)
        return [state.astype(np.float32) for state in (asked, *(known[text] for text in read))]

    def _remember(self, known: dict[str, NDArray[np.float16]]) -> None:
        self._states |= known
        for text in known:
            self._states.move_to_end(text)
        while len(self._states) > self._kept:
            self._states.popitem(last=False)

    def _pass(self, code: str, why: str, score: float | None = None) -> Verdict:
        return Verdict(ok=False, by=self._tools.name, code=code, why=why, score=score)

    def _quoted(self, question: str, found: "Found", sure: float) -> Answer:
        passage, (start, end) = found.one.passage, found.quoted
        quote, offset = passage.text[start:end], passage.start
        said = plain(quote)
        span = (offset + found.span[0], offset + found.span[1]) if found.span else None
        return Answer(
            text=said,
            model=self._tools.name,
            usage=Usage(prompt=estimate(question), completion=estimate(said), estimated=True),
            confidence=sure,
            citations=(
                Citation(source=passage.source, start=offset + start, end=offset + end, quote=quote, span=span),
            ),
        )


class Found(NamedTuple):
    """The sentence with the answer, the characters of its passage to quote, and the answer's own where it is known."""

    one: Candidate
    quoted: tuple[int, int]
    span: tuple[int, int] | None = None

    @property
    def text(self) -> str:
        return self.one.passage.text[slice(*self.quoted)]

    def at(self, span: Span | None) -> "Found":
        """With the answer at these characters of its text."""
        start = self.quoted[0]
        return self._replace(span=(start + span.start, start + span.end)) if span else self


def choose(features: NDArray[np.float64], weights: Weights) -> tuple[int, float]:
    """The row picked, and the calibrated P(right)."""
    scores = features @ np.array(weights.pick[1:]) + weights.pick[0]
    logit = sureness(features, scores, weights.kept) @ np.array(weights.sure[1:]) + weights.sure[0]
    return int(scores.argmax()), 1 / (1 + math.exp(-float(np.clip(logit, -30, 30))))


def sureness(features: NDArray[np.float64], scores: NDArray[np.float64], kept: Sequence[int]) -> NDArray[np.float64]:
    """What P(right) is reckoned from: the best row's score, its lead, and its features in the columns `kept`."""
    order = np.argsort(-scores, kind="stable")
    lead = float(scores[order[0]] - scores[order[1]]) if len(scores) > 1 else MAX_LEAD
    return np.array([float(scores[order[0]]), min(lead, MAX_LEAD), *features[order[0], list(kept)]])


def unfit(question: str) -> tuple[str, str] | None:
    """The code and the reason for passing at once: too long, chit-chat, or a task rather than a question."""
    if len(question) > MAX_QUESTION:
        return "too_long", f"The reader takes questions of up to {MAX_QUESTION} characters."
    if not terms(question) or _TASK.match(question):
        return "not_a_question", "The reader only looks things up."
    return None


def _unit(states: NDArray[np.float32]) -> NDArray[np.float16]:
    norms = np.maximum(np.linalg.norm(states, axis=1, keepdims=True), 1e-9)
    return (states / norms).astype(np.float16)
