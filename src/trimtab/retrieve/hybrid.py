"""Finds passages in files and folders by their words and their meaning together, in process, with no network.

The files are read once, at start; a restart takes up what has changed and encodes only that.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec
import numpy as np

from trimtab import texts
from trimtab.errors import ConfigError
from trimtab.ports import Retriever, Tools
from trimtab.retrieve._index import Floats, Index, Vectors
from trimtab.retrieve._load import documents
from trimtab.types import Evidence, Request

PATIENCE = 1.0  # seconds after the start during which a first question waits for the embeddings
BATCH = 16  # chunks encoded and kept at a time
MAX_QUESTION = 4000  # characters of a question that are embedded and searched for
T = TypeVar("T")
PROBE = "The small surface on the edge of a great rudder."


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`paths` start from the recipe's folder; `k` passages of at most `size` characters, overlapping by `overlap`.

    `meaning` is the weight of the embeddings against the words, 0 to 1; `cache` keeps them in the state folder.
    """

    paths: tuple[str, ...]
    k: int = 6
    size: int = 1200
    overlap: int = 200
    meaning: float = 0.5
    cache: bool = True


def build(options: Options, tools: Tools) -> Retriever:
    """Raises `ConfigError` for an option out of range."""
    if not (1 <= options.k <= 50 and 200 <= options.size <= 20_000 and 0 <= options.overlap <= options.size // 2):
        raise ConfigError("[retrieve] is out of range.", "k: 1-50; size: 200-20000; overlap: 0 to half of size.")
    if not 0 <= options.meaning <= 1:
        raise ConfigError(f"[retrieve] meaning = {options.meaning} is not a weight.", "Give a number from 0 to 1.")
    hybrid = Hybrid(options, tools)
    tools.starting(hybrid.start)
    tools.closing(hybrid.close)
    return hybrid


class Hybrid:
    """The retriever. Before `start`, and without documents, it finds nothing."""

    def __init__(self, options: Options, tools: Tools) -> None:
        self._options, self._tools = options, tools
        self._index: Index | None = None
        self._vectors: Vectors | None = None
        self._learning: asyncio.Task[None] | None = None
        self._known = False  # whether every chunk has its vector
        self._deadline = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="documents")

    async def start(self) -> None:
        """Read the files, so that words find them at once; the meanings are learnt in the background."""
        self._index = index = await self._off(self._read)
        self._deadline = time.monotonic() + PATIENCE
        if index.entries:
            self._learning = asyncio.create_task(self._learn(index))
            self._learning.add_done_callback(self._told)
        else:
            self._tools.say(f"No documents in {', '.join(self._options.paths) or 'no paths'}: nothing can be cited.")

    async def ready(self) -> None:
        """Wait until every chunk has its vector."""
        if self._learning:
            await asyncio.shield(self._learning)

    async def retrieve(self, request: Request) -> Evidence:
        """The passages for the last user message, best first; words decide alone until the vectors are there."""
        question = texts.question(request)[:MAX_QUESTION]
        if not (self._index and self._index.entries and question.strip()):
            return Evidence()
        if self._learning and not self._learning.done():
            await asyncio.wait([self._learning], timeout=max(0.0, self._deadline - time.monotonic()))
        vector = await self._meaning(question) if self._known and self._options.meaning else None
        found = await self._off(self._index.search, question, vector, self._options.k, self._options.meaning)
        return Evidence(passages=tuple(found))

    async def _meaning(self, question: str) -> Floats | None:
        """The question's vector; None where the encoder fails: then the words decide alone."""
        try:
            return (await self._tools.encoder().embed([question]))[0]
        except Exception as error:  # noqa: BLE001 - whatever it is, what the words find is still found
            self._tools.say(f"A question was looked up by its words only: the encoder failed ({error}).")
            return None

    async def close(self) -> None:
        if self._learning:
            self._learning.cancel()
            await asyncio.wait([self._learning])
        await self._off(self._shut)
        self._thread.shutdown(wait=False)

    def _read(self) -> Index:
        tools, options = self._tools, self._options
        found = documents(options.paths, tools.recipe, tools.say)
        return Index(found, options.size, options.overlap, tools.encoder().dims)

    async def _learn(self, index: Index) -> None:
        """Give every entry its vector: kept ones first, then the missing ones batch by batch."""
        try:
            self._vectors = await self._opened()
            missing = await self._off(self._recall, index)
            for first in range(0, len(missing), BATCH):
                await self._encode(index, missing[first : first + BATCH])
            if self._vectors:
                await self._off(self._vectors.prune, {self._vectors.mark, *(e.digest for e in index.entries)})
        except (sqlite3.Error, OSError) as error:
            self._tools.say(f"Embeddings cannot be kept ({error}): they are made again at the next start.")
            await self._encode_all(index)
        self._known = True

    def _told(self, learning: asyncio.Task[None]) -> None:
        """An encoder that fails leaves the search by words, and is not kept silent."""
        if not learning.cancelled() and (error := learning.exception()):
            self._tools.say(f"Documents are found by their words only: the encoder failed ({error}).")

    async def _encode(self, index: Index, places: list[int]) -> None:
        vectors = await self._tools.encoder().embed([index.entries[place].embedded for place in places])
        index.learn(places, vectors)
        if self._vectors:
            await self._off(self._vectors.keep, [index.entries[place].digest for place in places], vectors)

    async def _encode_all(self, index: Index) -> None:
        self._vectors = None
        missing = [place for place, vector in enumerate(index.vectors) if not vector.any()]
        for first in range(0, len(missing), BATCH):
            await self._encode(index, missing[first : first + BATCH])

    async def _opened(self) -> Vectors | None:
        if not self._options.cache:
            return None
        probe = (await self._tools.encoder().embed([PROBE]))[0]
        return await self._off(Vectors, self._tools.home / "docs.db", probe)

    def _recall(self, index: Index) -> list[int]:
        """Learn what is kept; the places of the others."""
        if not self._vectors:
            return list(range(len(index.entries)))
        dims = index.vectors.shape[1]
        kept: list[Floats | None] = [self._vectors.kept(entry.digest, dims) for entry in index.entries]
        if known := [place for place, vector in enumerate(kept) if vector is not None]:
            index.learn(known, np.stack([vector for vector in kept if vector is not None]))
        return [place for place, vector in enumerate(kept) if vector is None]

    def _shut(self) -> None:
        for part in (self._index, self._vectors):
            if part:
                part.close()

    async def _off(self, work: Callable[..., T], *given: Any) -> T:
        """Run `work` on the documents' own thread: SQLite and files never hold up the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *given)
