"""The sentences that may answer a question, and the numbers that say how well each fits. Pure.

Words are compared as stems and weighted by how rare they are among the candidates; meanings are compared between the
token embeddings of the house encoder, word by word (as in ColBERT, Khattab & Zaharia 2020) and as a whole.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.sentences import STOP_WORDS, Sentence, leans, plain, sentences, stem, terms
from trimtab.types import Passage

FEATURES = ("cover", "meaning", "late", "worst", "cue", "passage")
"""cover: share of the question's words in the sentence; meaning: cosine; late: each word's best cosine, averaged;
worst: the least of these; cue: has what the question asks for (a time, a figure...); passage: the retriever's score."""

_PIECES = re.compile(r"[^\W_]+|[^\w\s]|_")
_NUMBER = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|sixty|hundred|"
    r"thousand|million|billion|half|third|quarter|once|twice|dozen|no|none|free|nothing|several)\b",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"\d|\b(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b|\b(?:january|february|march|april|may|june|july|august|"
    r"september|october|november|december|noon|midnight|seconds?|minutes?|hours?|days?|daily|weeks?|months?|years?|"
    r"century|decades?|immediately|instant|instantly|at once|always|before|after|until|during)\b",
    re.IGNORECASE,
)
_NAME = re.compile(r"(?<=[a-z,;:] )[A-Z][\w'-]+|\b[A-Z]{2,}\b|\b(?:team|manager|officer|person|people|staff)\b")
_DURATION = re.compile(
    r"(?:\d|\b(?:an?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|twenty|"
    r"thirty|forty|fifty|sixty|ninety|several|few|many))[\s-](?:[a-z]{1,12}\s)?"
    r"(?:second|minute|hour|day|week|month|quarter|year|decade|centur)|\b(?:at once|immediately|instant|for ever)",
    re.IGNORECASE,
)
_PLACE = re.compile(r"\b(?:in|at|on|under|from|to|near|by|of|between|inside|behind|the)\b ", re.IGNORECASE)
_REASON = re.compile(
    r"\b(?:because|since|so that|so|due to|caused?|as a result|in order|reasons?|therefore|to)\b", re.IGNORECASE
)
_WAY = re.compile(
    r"^\W*(?:to|choose|tap|open|set|put|use|add|write|go|select|click|press|call|check|report|freeze|switch|activate|"
    r"change|run|bring|install)\b|\b(?:by \w+ing|you (?:can|may|must|need)|in the app|at the counter)\b",
    re.IGNORECASE,
)
_CUES = tuple(
    (re.compile(rf"\b(?:{asks})\b", re.IGNORECASE), has)
    for asks, has in (
        ("how (?:long|soon|quickly|fast)", _DURATION),
        ("how (?:much|many|often|old|far|large|big|tall|high)|percent|number of|price|cost|fee|limit|rate", _NUMBER),
        ("when|(?:what|which) (?:year|time|date|day|month|century|decade)", _TIME),
        ("who|whom|whose", _NAME),
        ("where|(?:what|which) (?:country|city|place|state|region)", _PLACE),
        ("why", _REASON),
        ("how (?:do|does|can|could|should|would|to|may)", _WAY),
    )
)
_DEFINES = re.compile(r"\W*what(?: is|'s|’s| are) (?:an? |the )?([^?.!]{1,60})", re.IGNORECASE)
DEFINED = 5.0  # set by hand: SQuAD has next to no such questions to fit it on
_ARTICLE = re.compile(r"^\W*(?:an?|the)\s", re.IGNORECASE)


class Candidate(msgspec.Struct, frozen=True):
    """One sentence of a passage."""

    passage: Passage
    place: Sentence

    @property
    def text(self) -> str:
        return self.passage.text[self.place.start : self.place.end]

    @property
    def heading(self) -> str:
        return self.passage.title.rpartition(" > ")[2]

    @property
    def read(self) -> str:
        """What is encoded: the heading too, since a section often does not repeat its subject."""
        return f"{self.heading}: {plain(self.text)}"


def candidates(question: str, passages: Sequence[Passage], limit: int) -> list[Candidate]:
    """The sentences worth reading closely, at most `limit`: those that share the question's rarer words come first."""
    seen: dict[tuple[str, int], Candidate] = {}
    for passage in passages:
        for place in sentences(passage.text):
            seen.setdefault((passage.source, passage.start + place.start), Candidate(passage, place))
    found = list(seen.values())
    if not found:
        return []
    worth = _covers(question, found, _rarity(found)) + np.array([one.passage.score for one in found])
    return [found[i] for i in sorted(np.argsort(-worth, kind="stable")[:limit])]


def readable(chosen: Candidate) -> tuple[int, int]:
    """The span to quote: the sentence, and the one before where it points back to that."""
    place, text = chosen.place, chosen.passage.text
    if not leans(text[place.start : place.end]):
        return place.start, place.end
    before = [one for one in sentences(text) if one.block == place.block and one.end <= place.start]
    return (before[-1].start if before else place.start), place.end


def features(
    question: str, found: Sequence[Candidate], states: Sequence[NDArray[np.float32]], tokens: Callable[[str], int]
) -> NDArray[np.float64]:
    """A row for each candidate, a column for each of `FEATURES`, all in about 0 to 1.

    `states` are unit token embeddings, those of the question first and then each candidate's `read`; `tokens` counts
    the tokens of a text.
    """
    rare = _rarity(found)
    words, weights = _words(question, len(states[0]), rare, tokens)
    asked = [states[0][start:end] for start, end in words]
    rows = [
        (*_near(states[0], asked, weights, read), cue(question, one.text), one.passage.score)
        for one, read in zip(found, states[1:], strict=True)
    ]
    return np.column_stack([_covers(question, found, rare), np.array(rows)])


Rarity: TypeAlias = Callable[[str], float]


def _rarity(found: Sequence[Candidate]) -> Rarity:
    """How telling a stem is: the log of how few of the candidates have it (the idf of BM25)."""
    having = Counter(word for one in found for word in {*terms(one.read)})
    return lambda word: math.log(1 + (len(found) - having[word] + 0.5) / (having[word] + 0.5))


def _covers(question: str, found: Sequence[Candidate], rare: Rarity) -> NDArray[np.float64]:
    """The share of the question's words, by rarity, that each candidate has; one in the heading only counts half."""
    weights = {word: rare(word) for word in terms(question)}
    total = sum(weights.values()) or 1.0
    return np.array([_shared(one, weights) / total for one in found])


def _shared(one: Candidate, weights: dict[str, float]) -> float:
    said, under = {*terms(one.text)}, {*terms(one.heading)}
    return sum(weight * (1.0 if word in said else 0.5 * (word in under)) for word, weight in weights.items())


def _words(
    question: str, rows: int, rare: Rarity, tokens: Callable[[str], int]
) -> tuple[list[tuple[int, int]], NDArray[np.float64]]:
    """Where each telling word of the question stands among its `rows` token embeddings, and its weight."""
    places: list[tuple[int, int]] = []
    weights: list[float] = []
    at = 0
    for word in _PIECES.findall(question):
        size = tokens(word)
        if size and word.casefold() not in STOP_WORDS and word[0].isalnum():
            places.append((at, at + size))
            weights.append(rare(stem(word.casefold())))
        at += size
    if at != rows or not places:  # a script that the two split differently
        return [(i, i + 1) for i in range(rows)], np.ones(rows)
    return places, np.array(weights)


def _near(
    asked: NDArray[np.float32],
    words: Sequence[NDArray[np.float32]],
    weights: NDArray[np.float64],
    read: NDArray[np.float32],
) -> tuple[float, float, float]:
    """`meaning`, `late` and `worst` of one candidate."""
    if not len(read) or not len(asked):
        return 0.0, 0.0, 0.0
    near = np.array([(word @ read.T).max(axis=1).mean() for word in words])
    one, other = asked.mean(axis=0), read.mean(axis=0)
    meaning = float(one @ other) / max(float(np.linalg.norm(one) * np.linalg.norm(other)), 1e-9)
    return meaning, float(near @ weights) / max(float(weights.sum()), 1e-9), float(near.min())


def cue(question: str, text: str) -> float:
    """Whether the text has what the question's word asks for: 1 yes, 0 no, 0.5 where the question does not say.

    `DEFINED` for "x is ..." where the question is "what is x?".
    """
    for asks, has in _CUES:
        if asks.search(question):
            return float(has.search(text) is not None)
    if asked := _DEFINES.match(question):
        begins = _ARTICLE.sub("", text).casefold()
        return DEFINED if re.match(rf"{re.escape(asked[1].strip().casefold())} (?:is|are|was|were)\b", begins) else 0.5
    return 0.5
