"""Answers from the evidence by quoting: picks the sentence that answers, says how sure it is, or passes.

It writes nothing of its own, so it cannot invent; what it can do is pick a wrong sentence, which is what the confidence
is about. Sentences are weighed by their words; where the encoder has a span head, that reads the best of them beside
the question, has a say in which it is and how sure, and says where in it the answer stands. Made for English; one
question at a time.
"""

import math
import re
from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab import texts
from trimtab.answer._candidates import FEATURES, Candidate, candidates, features, readable, yes_or_no
from trimtab.encode.span import Span
from trimtab.errors import ConfigError
from trimtab.money import estimate
from trimtab.ports import Model, Sink, Tools
from trimtab.sentences import plain, terms
from trimtab.types import FREE, Answer, Citation, Evidence, ModelSpec, Passage, Request, Usage, Verdict

MAX_QUESTION = 600
MAX_LEAD = 3.0  # a larger lead says no more; also that of an only row
SPREAD = 8.0  # of the span head's logits: divided by it they are much like the other features


class Weights(NamedTuple):
    """Of two logistic regressions, their bias first: what picks a row, and what says how sure.

    The second weighs the best row's score, its lead over the next, and its features. Of sentences that the span head
    has not read, `hope` is what it would be as likely as not to add to the score, `unread` the opinion they get.
    """

    pick: tuple[float, ...]
    sure: tuple[float, ...]
    hope: float = 0.0
    unread: tuple[float, ...] = ()


# Of `FEATURES`, and with the span head of its `lead` and `here` as well. Both from:
# python benchmarks/reader.py --data ../shared/data --fit (WORDS with --words)
WORDS = Weights((-13.282, 4.12, 0.42, 9.375, 1.143), (0.943, 1.39, 0.469, -3.158, -0.575, 1.558, 0.032))
SPANS = Weights(
    (-3.578, 2.178, 0.197, 2.492, -0.568, 1.845, -0.472),
    (-5.122, 1.796, 0.525, -1.664, 0.037, 4.268, 2.093, -2.178, 0.039),
    hope=-0.404,
    unread=(-0.712, -0.194),
)

_TASK = re.compile(
    r"\W*(?:(?:please|could you|can you|would you|kindly)\W+){0,2}"
    r"(?:write|compose|draft|translate|summari[sz]e|rewrite|rephrase|paraphrase|generate|imagine|pretend|act as|"
    r"brainstorm|roleplay|proofread)\b",
    re.IGNORECASE,
)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`threshold`: the P(right) below which it passes; `spans`: how many sentences the span head reads at most."""

    threshold: float = 0.45
    spans: int = 3


def spec(options: Options) -> ModelSpec:
    """In process and free; takes one plain question and passages."""
    del options  # the same for all
    return ModelSpec(where="local", price=FREE, abilities=frozenset({"question", "evidence"}))


def build(options: Options, tools: Tools) -> Model:
    """Raises `ConfigError` for an option out of range."""
    if not (0 <= options.threshold <= 1 and 1 <= options.spans <= 20):
        raise ConfigError("The reader's options are out of range.", "threshold: 0-1; spans: 1-20.")
    return Reader(options, tools)


class Reader:
    """The rung. With `whole` it reads `spans` sentences of every question: what the constants are fitted on.

    Without a span head that is every sentence.
    """

    def __init__(self, options: Options, tools: Tools, whole: bool = False) -> None:
        self._options, self._tools, self._whole = options, tools, whole

    async def answer(self, request: Request, evidence: Evidence, sink: Sink) -> Answer | Verdict:
        question = texts.question(request).strip()
        if no := unfit(question):
            return self._pass(*no)
        read, numbers = await self.read(question, evidence.passages)
        if not read:
            return self._pass("not_in_documents", "No passage of the documents fits the question.")
        best, sure = choose(numbers, weighing(numbers))
        if sure < self._options.threshold:
            return self._pass("not_in_documents", "The documents do not clearly say.", sure)
        return self._quoted(question, read[best], sure)

    async def read(self, question: str, passages: Sequence[Passage]) -> "tuple[list[Found], NDArray[np.float64]]":
        """What may be quoted, and what `choose` goes by: a row for each.

        These are the `spans` sentences that the words prefer, and with a span head its opinion of each; only the first
        is read where that settles it. It has none of what is answered by yes or no.
        """
        encoder = self._tools.encoder()
        found = candidates(passages)
        rows = features(question, found)
        best = np.argsort(-(rows @ np.array(WORDS.pick[1:])), kind="stable")
        heard = encoder.spans and not yes_or_no(question)
        if heard or not self._whole:
            best = best[: self._options.spans]
        read, rows = [Found(found[at], readable(found[at])) for at in best], rows[best]
        if not (heard and read):
            return read, rows
        said = await encoder.span(question, [read[0].text])
        if self._whole or not settled(np.hstack([rows, opinions(said, len(read))])):
            said += await encoder.span(question, [one.text for one in read[1:]])
        return [one.at(span) for one, span in zip_longest(read, said)], np.hstack([rows, opinions(said, len(read))])

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


def opinions(said: Sequence[Span | None], of: int) -> NDArray[np.float64]:
    """A row of two features for each of so many sentences, of which the span head has read the first."""
    rows = [(span.lead / SPREAD, span.here / SPREAD) if span else (-1.0, -1.0) for span in said]
    return np.array([*rows, *[SPANS.unread] * (of - len(said))])


def settled(rows: NDArray[np.float64], weights: Weights = SPANS) -> bool:
    """Whether none of the others, which the head has not read yet, is likely to come out above the first row."""
    first, *others = rows
    columns = slice(0, len(FEATURES))
    words = np.array(weights.pick[1:])[columns]
    return all(first @ np.array(weights.pick[1:]) >= row[columns] @ words + weights.hope for row in others)


def weighing(rows: NDArray[np.float64]) -> Weights:
    """What `choose` weighs such rows with: those of which the span head has an opinion, or by their words alone."""
    return SPANS if rows.shape[1] > len(FEATURES) else WORDS


def choose(features: NDArray[np.float64], weights: Weights) -> tuple[int, float]:
    """The row picked, and the calibrated P(right)."""
    scores = features @ np.array(weights.pick[1:]) + weights.pick[0]
    logit = sureness(features, scores) @ np.array(weights.sure[1:]) + weights.sure[0]
    return int(scores.argmax()), 1 / (1 + math.exp(-float(np.clip(logit, -30, 30))))


def sureness(features: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """What P(right) is reckoned from: the best row's score, its lead, and its features."""
    order = np.argsort(-scores, kind="stable")
    lead = float(scores[order[0]] - scores[order[1]]) if len(scores) > 1 else MAX_LEAD
    return np.array([float(scores[order[0]]), min(lead, MAX_LEAD), *features[order[0]]])


def unfit(question: str) -> tuple[str, str] | None:
    """The code and the reason for passing at once: too long, chit-chat, or a task rather than a question."""
    if len(question) > MAX_QUESTION:
        return "too_long", f"The reader takes questions of up to {MAX_QUESTION} characters."
    if not terms(question) or _TASK.match(question):
        return "not_a_question", "The reader only looks things up."
    return None
