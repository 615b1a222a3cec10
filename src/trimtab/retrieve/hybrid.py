"""Finds passages in files and folders by their words and their meaning together, in process, with no network.

The recipe's `paths` are read at start: a restart takes up what has changed and encodes only that. What `trimtab docs
add` puts in is found as well, by a gateway that runs, too.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec

from trimtab import texts
from trimtab.errors import ConfigError
from trimtab.ports import Retriever, Tools
from trimtab.retrieve import _open, _search
from trimtab.retrieve._index import Floats, Index
from trimtab.retrieve._library import Library
from trimtab.types import Evidence, Request

PATIENCE = 1.0  # seconds after the start during which a first question waits for the embeddings
MAX_QUESTION = 4000  # characters of a question that are embedded and searched for
T = TypeVar("T")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`paths` start from the recipe's folder; `k` passages of at most `size` characters, overlapping by `overlap`.

    `meaning` is the weight of the embeddings against the words, 0 to 1; unless given it is learnt from the documents.
    `cache` keeps the index in the state folder. `engine` is what holds it: `sqlite`, or `postgres` (the extra
    `trimtab[postgres]`; its address is TRIMTAB_DOCS_URL); `auto` is `sqlite`.
    """

    paths: tuple[str, ...] = ()
    k: int = 6
    size: int = 1200
    overlap: int = 200
    meaning: float | None = None
    cache: bool = True
    engine: str = "auto"


def build(options: Options, tools: Tools) -> Retriever:
    """Raises `ConfigError` for an option out of range."""
    checked(options)
    hybrid = Hybrid(options, tools)
    tools.starting(hybrid.start)
    tools.closing(hybrid.close)
    return hybrid


def checked(options: Options) -> None:
    """Raises `ConfigError` for an option out of range."""
    if not (1 <= options.k <= 50 and 200 <= options.size <= 20_000 and 0 <= options.overlap <= options.size // 2):
        raise ConfigError("[retrieve] is out of range.", "k: 1-50; size: 200-20000; overlap: 0 to half of size.")
    if options.meaning is not None and not 0 <= options.meaning <= 1:
        raise ConfigError(f"[retrieve] meaning = {options.meaning} is not a weight.", "Give a number from 0 to 1.")
    if options.engine not in _open.ENGINES:
        raise ConfigError(
            f"[retrieve] engine = {options.engine!r} is none.", f"The engines are: {', '.join(_open.ENGINES)}."
        )


class Hybrid:
    """The retriever. Before `start`, and without documents, it finds nothing."""

    def __init__(self, options: Options, tools: Tools) -> None:
        self._options, self._tools = options, tools
        self._index: Index | None = None
        self._learning: asyncio.Task[None] | None = None
        self._known = False  # whether every chunk has its vector
        self._deadline = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="documents")

    async def start(self) -> None:
        """Read the files, so that words find them at once; the meanings are learnt in the background."""
        index, kept = await self._off(self._opened)
        try:
            await self._read(index)
        except sqlite3.Error as error:
            if not kept:
                raise
            index = await self._off(self._unkept, error)
            await self._read(index)
        self._index = index
        self._deadline = time.monotonic() + PATIENCE
        if await self._off(index.cards):
            self._learning = asyncio.create_task(self._learn(self._library(index)))
            self._learning.add_done_callback(self._told)
        else:
            self._known = True  # what is added later is learnt by who adds it
            self._tools.say(f"No documents in {', '.join(self._options.paths) or 'no paths'}: nothing can be cited.")

    async def ready(self) -> None:
        """Wait until every chunk has its vector, and the weights are learnt."""
        if self._learning:
            await asyncio.shield(self._learning)

    async def retrieve(self, request: Request) -> Evidence:
        """The passages for the last user message that its principal may read, best first.

        Words decide alone until the vectors are there.
        """
        question = texts.question(request)[:MAX_QUESTION]
        if not (self._index and question.strip()):
            return Evidence()
        if self._learning and not (self._known or self._learning.done()):
            await asyncio.wait([self._learning], timeout=max(0.0, self._deadline - time.monotonic()))
        meaning = self._options.meaning
        vector = await self._meaning(question) if self._known and meaning != 0 else None
        whole = vector is not None or meaning == 0
        return await self._off(self._found, self._index, question, vector, request.principal, whole)

    async def state(self) -> str:
        """Of the documents now, as `Evidence.state`."""
        return await self._off(self._index.state) if self._index else ""

    async def close(self) -> None:
        if self._learning:
            self._learning.cancel()
            await asyncio.wait([self._learning])
        if self._index:
            await self._off(self._index.close)
        self._thread.shutdown(wait=False)

    def _found(self, index: Index, question: str, vector: Floats | None, reader: str, whole: bool) -> Evidence:
        state = index.state() if whole else ""  # before the search: what changes meanwhile makes it another
        found = _search.search(index, question, vector, self._options.k, reader, self._options.meaning)
        return Evidence(passages=tuple(found), state=state)

    async def _meaning(self, question: str) -> Floats | None:
        """The question's vector; None where the encoder fails: then the words decide alone."""
        try:
            return (await self._tools.encoder().embed([question]))[0]
        except Exception as error:  # noqa: BLE001 - whatever it is, what the words find is still found
            self._tools.say(f"A question was looked up by its words only: the encoder failed ({error}).")
            return None

    def _opened(self) -> tuple[Index, bool]:
        """The index, and whether it is kept."""
        try:
            return self._engine(self._options.engine, self._options.cache), self._options.cache
        except (sqlite3.Error, OSError) as error:
            return self._unkept(error), False

    def _unkept(self, error: Exception) -> Index:
        self._tools.say(f"Embeddings cannot be kept ({error}): they are made again at the next start.")
        return self._engine("sqlite", False)

    def _engine(self, engine: str, kept: bool) -> Index:
        tools = self._tools
        return _open.opened(engine, tools.home if kept else None, tools.encoder().dims, tools.secret)

    def _library(self, index: Index) -> Library:
        options = self._options
        return Library(index, self._tools.encoder, self._tools.recipe, self._off, size=options.size,
                       overlap=options.overlap)  # fmt: skip

    async def _read(self, index: Index) -> None:
        report = await self._library(index).recipe(self._options.paths)
        for file, why in (*report.failed, *report.skipped):
            self._tools.say(f"Skipped {file}: {why}.")

    async def _learn(self, library: Library) -> None:
        await self._off(library.index.settle)
        await library.learn()
        self._known = True
        await library.calibrate()
        while await self._off(library.index.settle):
            pass  # a question that waits has its turn in between

    def _told(self, learning: asyncio.Task[None]) -> None:
        """An encoder that fails leaves the search by words, and is not kept silent."""
        if not learning.cancelled() and (error := learning.exception()):
            left = "the usual weights are taken" if self._known else "documents are found by their words only"
            self._tools.say(f"Not all was learnt of the documents, {left}: the encoder failed ({error}).")

    async def _off(self, work: Callable[..., T], *given: Any) -> T:
        """Run `work` on the documents' own thread: SQLite and files never hold up the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *given)
