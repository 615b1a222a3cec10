"""Keeps an index true to its files: takes up what is new or changed, drops what is gone, learns meanings.

One file that cannot be read is told and left out; the rest goes on. Every document is one change of the index, so that
what was done stays done wherever it is broken off.
"""

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from trimtab.encode.encoder import Encoder
from trimtab.retrieve import _load, _terms
from trimtab.retrieve._calibrate import calibrate
from trimtab.retrieve._chunk import chunks
from trimtab.retrieve._fusion import Mix
from trimtab.retrieve._index import ADDED, EVERYBODY, RECIPE, Card, Index, Piece
from trimtab.retrieve._unreadable import UnreadableError

BATCH = 16  # chunks encoded and kept at a time
MUCH = 8 * BATCH  # chunks for which further encoders are worth their loading
PROBE = "The small surface on the edge of a great rudder."
Off = Callable[..., Awaitable[Any]]
"""Runs a function on the index's own thread."""
Tell = Callable[[str, int, int], None]
"""Takes progress: at what, how many done, of how many."""


class Report(msgspec.Struct, kw_only=True):
    """What became of the files: sources, or paths with the reason why they are not in."""

    added: list[str] = []
    changed: list[str] = []
    unchanged: list[str] = []
    removed: list[str] = []
    same: list[tuple[str, str]] = []
    failed: list[tuple[str, str]] = []
    skipped: list[tuple[str, str]] = []

    def also(self, other: "Report") -> "Report":
        """Both together."""
        fields = self.__struct_fields__
        return Report(**{name: [*getattr(self, name), *getattr(other, name)] for name in fields})


class Library:
    """The documents of one index; sources are cited relative to `folder`, chunks are `size` long and overlap."""

    def __init__(
        self, index: Index, encoder: Callable[[], Encoder], folder: Path, off: Off, *, size: int, overlap: int,
        tell: Tell = lambda *_: None, helpers: Callable[[], Sequence[Encoder]] = tuple,
    ) -> None:  # fmt: skip
        """`helpers` are further encoders, loaded where there is much to learn: one for each core that may be used."""
        self.index, self._encoder, self._folder, self._off = index, encoder, folder, off
        self._size, self._overlap, self._tell, self._helpers = size, overlap, tell, helpers

    async def take(self, path: str, origin: str = ADDED, readers: tuple[str, ...] | None = None) -> Report:
        """Make the index true to the files at `path`. Raises `ConfigError` where there is nothing.

        `readers` None leaves those that the documents of the path have; new ones get the same, or are for everybody.
        What a person added stays as it was added, whatever the recipe's paths hold too: its readers are their word.
        """
        report = Report()
        here: _load.Found = await self._off(_load.found, [path], self._folder)
        report.skipped = [(str(file), why) for file, why in here.others]
        held = dict(await self._off(self.index.cards))
        root = str(_load.place(path, self._folder))
        sources = {_load.cited(file, self._folder): file for file in here.files}
        await self._drop([c.source for c in held.values() if c.root == root and c.origin == origin
                          and c.source not in sources], held, report)  # fmt: skip
        usual = next((card.readers for card in held.values() if card.root == root), EVERYBODY)
        for done, (source, file) in enumerate(sources.items(), 1):
            if not (origin == RECIPE and source in held and held[source].origin == ADDED):
                may = readers or (held[source].readers if source in held else usual)
                blank = Card(source=source, title="", kind="", digest="", root=root, origin=origin, readers=may)
                await self._taken(file, blank, held, report)
            self._tell("reading", done, len(sources))
        return report

    async def recipe(self, paths: Sequence[str]) -> Report:
        """Make the index true to the recipe's paths; what others held that are no paths of it any more is dropped."""
        roots = {str(_load.place(path, self._folder)) for path in paths}
        held, report = dict(await self._off(self.index.cards)), Report()
        gone = [card.source for card in held.values() if card.origin == RECIPE and card.root not in roots]
        await self._drop(gone, held, report)
        for path in paths:
            report = report.also(await self.take(path, RECIPE))
        return report

    async def learn(self) -> None:
        """Give every chunk its vector. What was encoded is kept batch by batch."""
        await self._owned()
        total = await self._off(self.index.waiting)
        encoders = [self._encoder(), *(self._helpers() if total > MUCH else ())]
        done = 0

        async def work(encoder: Encoder) -> None:
            nonlocal done
            while batches:
                some = batches.pop()
                vectors = await encoder.embed([text for _, text in some])
                await self._off(self.index.learn, [chunk for chunk, _ in some], vectors)
                done += len(some)
                self._tell("learning", min(done, total), total)

        while missing := await self._off(self.index.unlearnt, 64 * BATCH):
            missing.sort(key=lambda one: len(one[1]))  # of about one length in a batch: little is padded
            batches = [missing[first : first + BATCH] for first in range(0, len(missing), BATCH)]
            await _all([work(encoder) for encoder in encoders])

    async def calibrate(self) -> dict[str, Mix]:
        """Learn the weights of languages that want it."""
        return await calibrate(self.index, self._encoder(), self._off)

    async def _owned(self) -> None:
        """Forget the vectors of another encoder: it is known by what it makes of a fixed text."""
        probe = (await self._encoder().embed([PROBE]))[0]
        kept = await self._off(self.index.note, "probe")
        old = np.frombuffer(base64.b64decode(kept), np.float32) if kept else probe
        if old.shape != probe.shape or float(old @ probe) < 0.9999:  # the same weights elsewhere differ by less
            await self._off(self.index.forget)
        await self._off(self.index.note, "probe", base64.b64encode(probe.tobytes()).decode())

    async def _taken(self, file: Path, blank: Card, held: dict[str, Card], report: Report) -> None:
        try:
            card, pieces = await self._off(self._read, file, blank, held)
            if card is None:
                report.unchanged.append(blank.source)
            elif pieces is None:
                report.same.append((blank.source, card.source))
            else:
                await self._off(self.index.put, card, pieces)
                (report.changed if blank.source in held else report.added).append(card.source)
                held[card.source] = card
        except UnreadableError as error:
            report.failed.append((str(file), str(error)))
            await self._drop([blank.source] if blank.source in held else [], held, report)

    def _read(
        self, file: Path, blank: Card, held: Mapping[str, Card]
    ) -> tuple[Card, list[Piece]] | tuple[Card, None] | tuple[None, None]:
        """The document's card and chunks; None for both where it is held as it is.

        Of two files with the same content one is kept: then the card is the other's, without chunks.
        """
        try:
            given = _load.raw(file)
            digest = hashlib.sha256(f"{given.digest} {self._size} {self._overlap}".encode()).hexdigest()
            card = msgspec.structs.replace(blank, digest=digest, kind=given.kind)
            old = held.get(blank.source)
            if old and (old.digest, old.readers, old.root, old.origin) == (
                digest,
                card.readers,
                card.root,
                card.origin,
            ):
                return None, None
            twin = next((c for c in held.values() if (c.digest, c.readers) == (digest, card.readers)), None)
            if twin and twin.source != blank.source:
                return twin, None
            document = _load.parsed(given, self._folder)
            made = msgspec.structs.replace(card, title=document.title, characters=len(document.text))
            made.source.encode()
            return made, self._pieces(document)
        except UnreadableError:
            raise
        except UnicodeEncodeError as error:
            raise UnreadableError("its name is not UTF-8; rename it") from error
        except (Exception, RecursionError) as error:
            raise UnreadableError(f"it cannot be read ({type(error).__name__}: {error})") from error

    def _pieces(self, document: _load.Document) -> list[Piece]:
        text, told = document.text, _terms.language(document.text)
        return [
            Piece(chunk.start, chunk.end, chunk.title, piece, _spoken(piece, told))
            for chunk in chunks(document, self._size, self._overlap)
            if (piece := text[chunk.start : chunk.end])
        ]

    async def _drop(self, sources: Sequence[str], held: dict[str, Card], report: Report) -> None:
        if sources:
            await self._off(self.index.drop, sources)
            report.removed += sources
            for source in sources:
                del held[source]


async def _all(works: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Do them at once; the first error ends them all, and is raised."""
    tasks = [asyncio.ensure_future(one) for one in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _spoken(piece: str, document: str) -> str:
    """A chunk's language; one in Latin letters is of its document's, since a table or a list of names does not tell."""
    told = _terms.language(piece)
    return document if {told, document} <= {_terms.ENGLISH, _terms.LATIN} else told
