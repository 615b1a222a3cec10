"""The port of an index of documents, and its nouns; `testing.indexes_well` is the contract that each one keeps.

An index is used by one thread at a time. What one process writes, another that has the same index open finds.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.types import Passage

Floats: TypeAlias = NDArray[np.float32]
Scores: TypeAlias = dict[int, float]
"""Chunk -> score, the best first."""
EVERYBODY = ("*",)
"""The readers of a document that is nobody's secret."""
RECIPE, ADDED = "recipe", "added"
"""Who put a document in: the recipe's `paths`, or a person."""


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What an index keeps of a document beside its text.

    `digest` is its file's; `root` the path under which it was found, by `origin` (`RECIPE`, `ADDED`); `readers` the
    principals that may read it, or `EVERYBODY`; `at` seconds since 1970.
    """

    source: str
    title: str
    kind: str
    digest: str
    root: str
    origin: str = ADDED
    readers: tuple[str, ...] = EVERYBODY
    chunks: int = 0
    characters: int = 0
    at: float = 0.0


class Piece(msgspec.Struct, frozen=True):
    """A chunk: characters `start` to `end` of its document, `language` as `_terms.language` tells it."""

    start: int
    end: int
    title: str
    text: str
    language: str

    @property
    def embedded(self) -> str:
        """What is encoded: the headings too, since a section often does not repeat its subject."""
        return f"{self.title}\n{self.text}"


class Index(Protocol):
    """`reader` is the principal that asks, None the operator, who may read all; it holds within each query."""

    def cards(self) -> Mapping[str, Card]:
        """Every document by its source."""
        ...

    def put(self, card: Card, pieces: Sequence[Piece]) -> None:
        """Add a document, or put it in the place of the one with its source, as one change."""
        ...

    def drop(self, sources: Sequence[str]) -> None:
        """Take documents out, as one change; those that are not there are not missed."""
        ...

    def waiting(self) -> int:
        """How many chunks have no vector yet."""
        ...

    def unlearnt(self, limit: int) -> list[tuple[int, str]]:
        """Chunks that have no vector yet, and what is to be encoded of each."""
        ...

    def learn(self, chunks: Sequence[int], vectors: Floats) -> None:
        """The vectors of chunks, unit rows; of a chunk that is gone meanwhile it is dropped."""
        ...

    def forget(self) -> None:
        """Drop every vector: they are of another encoder."""
        ...

    def words(self, question: str, k: int, reader: str | None) -> Scores:
        """The best `k` chunks by BM25 over stemmed words and headings."""
        ...

    def grams(self, question: str, k: int, reader: str | None) -> Scores:
        """The best `k` chunks that are not English, by BM25 over grams of characters."""
        ...

    def near(self, vector: Floats, k: int, reader: str | None) -> Scores:
        """The best `k` chunks by cosine."""
        ...

    def cosines(self, chunks: Sequence[int], vector: Floats) -> Scores:
        """The cosine of each of these chunks that has a vector."""
        ...

    def passages(self, scores: Scores, reader: str | None, cosines: Scores | None = None) -> list[Passage]:
        """The passages of these chunks in their order, with their cosines where they are given.

        Those that are gone, or not for this reader, are left out.
        """
        ...

    def languages(self) -> Mapping[str, int]:
        """How many chunks there are in each language."""
        ...

    def sample(self, language: str, limit: int) -> list[tuple[int, Piece]]:
        """Chunks of a language, the same ones as long as the documents are the same."""
        ...

    def note(self, key: str, value: str | None = None) -> str | None:
        """What is kept under a key; with a value, keep it first."""
        ...

    def state(self) -> str:
        """Another string whenever a document, or what is known of one, was put in, changed or dropped; never one again.

        It is kept with the index, the same for all who have it open.
        """
        ...

    def settle(self) -> bool:
        """Take up what was written, and some of what questions will need, so that none waits for it.

        It takes some 20 ms beside what was written; whether there is more to do.
        """
        ...

    def close(self) -> None: ...
