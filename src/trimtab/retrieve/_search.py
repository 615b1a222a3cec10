"""A question -> passages: asks the legs of an index that have a weight, and mixes what they find."""

import msgspec

from trimtab.retrieve import _fusion, _terms
from trimtab.retrieve._fusion import DEPTH, Legs, Mix
from trimtab.retrieve._index import Floats, Index
from trimtab.types import Passage

NOTE = "mix"
"""Where an index keeps the weights that were learnt."""


class Learnt(msgspec.Struct, frozen=True):
    """A language's mix, and of how many chunks it was learnt."""

    mix: Mix
    chunks: int


def learnt(index: Index) -> dict[str, Learnt]:
    """The mixes that were learnt, by language."""
    kept = index.note(NOTE)
    return msgspec.json.decode(kept, type=dict[str, Learnt]) if kept else {}


def mix(index: Index, question: str, meaning: float | None = None) -> Mix:
    """The weights for a question: those learnt of its language, else the usual; `meaning` is one that was set."""
    counts = index.languages()
    language = _fusion.spoken(_terms.language(question), counts)
    known = learnt(index).get(language)
    found = known.mix if known else _fusion.usual(language)
    if meaning is None:
        return found
    rest = found.words + found.grams
    part = (1 - meaning) / rest if rest else 0.0
    return Mix(found.words * part, found.grams * part, meaning) if rest else Mix(1 - meaning, 0.0, meaning)


def legs(index: Index, question: str, vector: Floats | None, mix: Mix, reader: str | None) -> Legs:
    """What the legs with a weight find; what only the words found has its cosine too, and no vector is no meaning."""
    words = index.words(question, DEPTH, reader) if mix.words else {}
    grams = index.grams(question, DEPTH, reader) if mix.grams else {}
    if vector is None or not mix.meaning:
        return Legs(words, grams, {})
    near = index.near(vector, DEPTH, reader)
    others = [chunk for chunk in {**words, **grams} if chunk not in near]
    return Legs(words, grams, {**near, **index.cosines(others, vector)})


def search(index: Index, question: str, vector: Floats | None, k: int, reader: str | None,
           meaning: float | None = None) -> list[Passage]:  # fmt: skip
    """The best `k` passages that `reader` may see, best first, with scores from 0 to 1."""
    weights = mix(index, question, 0.0 if vector is None else meaning)
    found = legs(index, question, vector, weights, reader)
    scores = _fusion.fused(found, weights)
    return index.passages(dict(list(scores.items())[:k]), reader, found.near)
