"""Weights for the legs of a corpus, learnt without a label: from questions made of its own chunks.

A few words in a row out of a chunk are a question, and the chunk they are from is what is to be found. In half of the
cases they are cut out of it first, with as much around them (the inverse cloze task of Lee, Chang & Toutanova, 2019,
arXiv:1906.00300), as a person who asks does not know the words of the page. Which half, and how many words, was chosen
on one half of SQuAD's questions (benchmarks/retrieval.py reports on the other).
"""

import random
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from trimtab.encode.encoder import Encoder
from trimtab.retrieve import _fusion, _search
from trimtab.retrieve._fusion import DEPTH, Legs
from trimtab.retrieve._index import Card, Index, Piece, Scores
from trimtab.retrieve._sqlite import Sqlite

LEAST = 120  # chunks of a language to learn from
ASKED = 200  # questions made
AMONG = 2000  # chunks that they are looked for in
WORDS, CHARACTERS = 10, 25  # of a question; the second where there are no spaces
CUT = 0.5  # of the questions are cut out of their chunk
GROWN = 1.5  # times as many chunks, or as few, and the weights are learnt anew
BATCH = 16
_WORD = re.compile(r"\S+")


class Pseudo(NamedTuple):
    """A question made of a chunk at `place` of the sample, and the chunk as it is to be found."""

    place: int
    question: str
    piece: Piece
    cut: bool


async def calibrate(index: Index, encoder: Encoder, off: Callable[..., Awaitable[Any]]) -> dict[str, _fusion.Mix]:
    """Learn the mix of each language that has enough chunks and has grown or shrunk since; those that are new.

    `off` runs a function on the index's thread. Takes some 10 s a language of one core.
    """
    counts, known = await off(index.languages), await off(_search.learnt, index)
    news: dict[str, _fusion.Mix] = {}
    for language in sorted(counts):
        if stale(known.get(language), counts[language]):
            news[language] = await _language(index, encoder, off, language)
    if news:
        more = {language: _search.Learnt(mix, counts[language]) for language, mix in news.items()}
        kept = {language: was for language, was in known.items() if counts.get(language, 0) >= LEAST}
        await off(index.note, _search.NOTE, msgspec.json.encode({**kept, **more}).decode())
    return news


def stale(known: _search.Learnt | None, chunks: int) -> bool:
    """Whether weights are to be learnt: none are, or of far fewer or far more chunks."""
    return chunks >= LEAST and (known is None or not 1 / GROWN <= chunks / known.chunks <= GROWN)


def pseudo(sample: Sequence[Piece], seed: int = 5) -> list[Pseudo]:
    """Questions made of chunks; the same for the same chunks."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    made = [_made(place, sample[place], rng) for place in rng.sample(range(len(sample)), len(sample))]
    return [one for one in made if one][:ASKED]


async def _language(index: Index, encoder: Encoder, off: Callable[..., Awaitable[Any]], language: str) -> _fusion.Mix:
    sample = await off(index.sample, language, AMONG)
    asked = pseudo([piece for _, piece in sample])
    if not asked:
        return _fusion.usual(language)
    small = await off(_small, [piece for _, piece in sample], asked, encoder.dims)
    found: list[tuple[Legs, int]] = []
    ids = [chunk for chunk, _ in sample]
    try:
        vectors = await _encoded(encoder, [one.question for one in asked])
        cut = await _encoded(encoder, [one.piece.embedded for one in asked if one.cut])
        own = iter(cut)
        for copy, (one, vector) in enumerate(zip(asked, vectors, strict=True), len(sample) + 1):
            cosine = float(vector @ next(own)) if one.cut else None
            found.append(await off(_asked, index, small, ids, one, copy, vector, cosine))
        return await off(_fusion.best, found, language)
    finally:
        await off(small.close)


async def _encoded(encoder: Encoder, texts: Sequence[str]) -> list[Any]:
    """Vectors, read in small batches so that questions of a gateway get their turn."""
    return [row for first in range(0, len(texts), BATCH) for row in await encoder.embed(texts[first : first + BATCH])]


def _made(place: int, piece: Piece, rng: random.Random) -> Pseudo | None:
    """A question of a chunk; None where the chunk would hardly be left."""
    units = [found.span() for found in _WORD.finditer(piece.text)]
    length = WORDS
    if len(piece.text) > 12 * len(units):  # no spaces
        units, length = [(at, at + 1) for at in range(len(piece.text))], CHARACTERS
    if len(units) < 4 * length:
        return None
    first = rng.randrange(len(units) - length + 1)
    question = piece.text[units[first][0] : units[first + length - 1][1]]
    if rng.random() >= CUT:
        return Pseudo(place, question, piece, cut=False)
    start, end = max(0, first - length // 2), min(len(units) - 1, first + length + length // 2)
    text = f"{piece.text[: units[start][0]]} {piece.text[units[end][1] :]}"
    return Pseudo(place, question, msgspec.structs.replace(piece, text=text), cut=True)


def _small(sample: Sequence[Piece], asked: Sequence[Pseudo], dims: int) -> Sqlite:
    """An index of the sample: chunk `place + 1` is the piece at `place`; those that were cut come after, in order."""
    small = Sqlite(None, dims)
    card = Card(source="", title="", kind="text", digest="", root="")
    small.put(card, [*sample, *(one.piece for one in asked)])
    return small


def _asked(
    index: Index, small: Sqlite, ids: Sequence[int], one: Pseudo, copy: int, vector: Any, own: float | None
) -> tuple[Legs, int]:
    """What the legs find in the sample, and the right chunk there; `copy` is it as it was cut, and `own` its cosine."""
    right = one.place + 1

    def told(scores: Scores) -> Scores:
        mine = {right: scores[copy]} if copy in scores else {}
        rest = {chunk: score for chunk, score in scores.items() if chunk <= len(ids) and chunk != right}
        return _first({**rest, **mine})

    cosines = index.cosines(ids, vector)
    near = {place: cosines[chunk] for place, chunk in enumerate(ids, 1) if chunk in cosines}
    if own is not None:
        near[right] = own
    words = told(small.words(one.question, _depth(ids), None))
    grams = told(small.grams(one.question, _depth(ids), None))
    nearest = _first(near)
    others = {chunk: near[chunk] for chunk in {**words, **grams} if chunk in near and chunk not in nearest}
    return Legs(words, grams, {**nearest, **others}), right


def _depth(ids: Sequence[int]) -> int:
    """As many as there are: the copies of other questions stand in between."""
    return len(ids) + ASKED


def _first(scores: Scores) -> Scores:
    return dict(sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:DEPTH])
