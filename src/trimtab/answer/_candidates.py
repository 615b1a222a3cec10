"""The sentences that may answer a question, and the numbers that say how well each fits. Pure.

Words are compared as stems and weighted by how rare they are among the candidates; one that a sentence lacks counts by
how much of its spelling is there, which is all there is to go by in compounds and in scripts without spaces.
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.sentences import Sentence, leans, sentences, terms
from trimtab.types import Passage

FEATURES = ("cover", "cue", "passage", "near")
"""cover: share of the question's words in the sentence; cue: has what the question asks for (a time, a figure...);
passage: the retriever's score; near: how alike its passage and the question are."""
NEAR = 0.56  # where nobody reckoned it: the median of passages with the right sentence, benchmarks/reader.py --fit

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
_YES_NO = re.compile(
    r"\W*(?:is|are|was|were|am|do|does|did|can|could|will|would|may|might|must|should|shall|has|have|had)\b"
    r"(?!.*\b(?:who|whom|whose|what|which|when|where|why|how)\b)",  # "can you tell me when ..."
    re.IGNORECASE | re.DOTALL,
)
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
        """A section often does not repeat its subject."""
        return self.passage.title.rpartition(" > ")[2]


def candidates(passages: Sequence[Passage]) -> list[Candidate]:
    """Every sentence of the passages; one that two of them have counts as the first's."""
    seen: dict[tuple[str, int], Candidate] = {}
    for passage in passages:
        for place in sentences(passage.text):
            seen.setdefault((passage.source, passage.start + place.start), Candidate(passage, place))
    return list(seen.values())


def readable(chosen: Candidate) -> tuple[int, int]:
    """The span to quote: the sentence, and the one before where it points back to that."""
    place, text = chosen.place, chosen.passage.text
    if not leans(text[place.start : place.end]):
        return place.start, place.end
    before = [one for one in sentences(text) if one.block == place.block and one.end <= place.start]
    return (before[-1].start if before else place.start), place.end


def features(question: str, found: Sequence[Candidate]) -> NDArray[np.float64]:
    """A row for each candidate, a column for each of `FEATURES`, all in about 0 to 1."""
    said = [(terms(one.text), {*terms(one.heading)}) for one in found]
    having = Counter(word for words, heading in said for word in {*words, *heading})
    worth = {word: _rarity(having[word], len(found)) for word in terms(question)}
    rows = [
        (_cover(worth, *words), cue(question, one.text), one.passage.score, _near(one.passage))
        for one, words in zip(found, said, strict=True)
    ]
    return np.array(rows, np.float64).reshape(-1, len(FEATURES))


def yes_or_no(question: str) -> bool:
    """Whether yes or no would answer: then no span of a text does, and its sentence as a whole says which."""
    return _YES_NO.match(question) is not None


def _near(passage: Passage) -> float:
    return NEAR if passage.near is None else passage.near


def _rarity(having: int, of: int) -> float:
    """How telling a word is: the log of how few of the candidates have it (the idf of BM25)."""
    return math.log(1 + (of - having + 0.5) / (having + 0.5))


def _cover(worth: dict[str, float], words: Sequence[str], heading: Collection[str]) -> float:
    """The share of the question's words, by their worth, that a sentence has; one in the heading only counts half."""
    known, spelt = {*words}, f"^{'$^'.join(words)}$"
    here = sum(
        weight * (1.0 if word in known else max(_spelling(word, spelt), 0.5 * (word in heading)))
        for word, weight in worth.items()
    )
    return here / (sum(worth.values()) or 1.0)


def _spelling(word: str, spelt: str) -> float:
    """The share of a word's runs of three characters that others have, squared; a figure is the same or is not."""
    if any(char.isdigit() for char in word):
        return 0.0
    marked = f"^{word}$"
    return (sum(marked[at : at + 3] in spelt for at in range(len(word))) / len(word)) ** 2


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
