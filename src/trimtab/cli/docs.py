"""`trimtab docs`: the documents that answers are looked up in: add, list, search and remove them."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from trimtab.cli import _out, _recipe

if TYPE_CHECKING:
    from trimtab.cli._meter import Meter
    from trimtab.encode.encoder import Encoder
    from trimtab.retrieve._index import Card, Index
    from trimtab.retrieve._library import Library, Report
    from trimtab.retrieve.hybrid import Options
    from trimtab.settings import Settings
    from trimtab.types import Passage

HELP = "The documents that answers are looked up in: add, list, search and remove them."
ADD = """Add files and folders; without a path, read those again that were added before.

Text, Markdown, HTML, CSV and code; PDF and DOCX with pip install 'trimtab[docs]'. What has not changed is left as it
is, what is gone from an added folder is taken out. A file that cannot be read is named, and the others go on: then the
exit code is 1. A gateway that runs finds what was added at once."""
READER = "A key (its id or name), `local` or `admin`, that alone may read them; `everybody` again. Repeat it."
REMOVE = """Take documents out: by source as `list` shows it, or by the file or folder that was added.

What the recipe's own paths hold comes back at the next start, and is not removed here."""
SKIPS = 5
MOST = 16  # encoders at work, of some 60 MB each
RECIPE = _recipe.OPTION
JSON = typer.Option(False, "--json", help="One JSON object on stdout.")


def attach(app: typer.Typer) -> None:
    verb = typer.Typer(name="docs", help=HELP)
    verb.command("add", help=ADD)(add)
    verb.command("list", help="List the documents by their sources.")(listing)
    verb.command("remove", help=REMOVE)(remove)
    verb.command("search", help="Show the passages that a question finds, best first.")(search)
    app.add_typer(verb)


def add(
    path: list[str] = typer.Argument(None, help="Files or folders.", show_default=False),  # noqa: B008
    reader: list[str] = typer.Option([], "--reader", help=READER),  # noqa: B008
    recipe: str = RECIPE,
    json: bool = JSON,
) -> None:
    import msgspec

    report = asyncio.run(_add(recipe, [str(Path(one).absolute()) for one in path or []], reader))
    if json:
        _out.emit({"ok": not report.failed, **msgspec.to_builtins(report)})
    else:
        _tell(report)
    raise typer.Exit(1 if report.failed else 0)


def listing(
    recipe: str = RECIPE,
    json: bool = typer.Option(False, "--json", help="JSON lines on stdout, one a document."),
) -> None:
    import msgspec

    found = asyncio.run(_list(recipe))
    for card in found:
        _out.emit(msgspec.to_builtins(card)) if json else print(_line(card))
    if not found:
        _out.say(f"There is no document. Add some: {_recipe.hint('docs add PATH', recipe)}")


def remove(
    source: list[str] = typer.Argument(help="Sources, or files and folders that were added."),  # noqa: B008
    recipe: str = RECIPE,
    json: bool = JSON,
) -> None:
    gone = asyncio.run(_remove(recipe, source))
    if json:
        _out.emit({"removed": gone})
    else:
        print("\n".join(f"removed {one}" for one in gone))


def search(
    question: str = typer.Argument(help="As a client would ask it."),
    k: int = typer.Option(0, "-k", min=0, max=50, help="How many passages; 0 is as many as the recipe says."),
    reader: str = typer.Option("", "--as", help="Whose eyes: a key, `local` or `admin`; all documents unless given."),
    recipe: str = RECIPE,
    json: bool = JSON,
) -> None:
    import msgspec

    if not question.strip():
        raise typer.BadParameter("The question is empty.")
    found, ms = asyncio.run(_search(recipe, question, k, reader))
    if json:
        _out.emit({"passages": msgspec.to_builtins(found), "ms": ms})
    else:
        for passage in found:
            print(_shown(passage))
    if not found:
        _out.say("Nothing was found.")


async def _add(recipe: str, paths: Sequence[str], readers: Sequence[str]) -> "Report":
    from trimtab.cli._meter import Meter
    from trimtab.errors import ConfigError
    from trimtab.retrieve._library import Report

    async with _opened(recipe) as desk:
        principals = await _principals(desk.settings, readers)
        cards = await desk.off(desk.index.cards)
        again = sorted({card.root for card in cards.values() if card.origin == "added"})
        report = Report()
        with Meter() as meter:
            library = desk.library(meter)
            for path in paths or again:
                try:
                    report = report.also(await library.take(path, readers=principals))
                except ConfigError as error:
                    if paths:
                        raise
                    fix = f"if it is gone for good: {_recipe.hint(f'docs remove {path}', recipe)}"
                    report.failed.append((path, f"{error.message} What was read of it stays; {fix}"))
            await library.learn()
            await library.calibrate()
        return report


async def _list(recipe: str) -> "list[Card]":
    async with _opened(recipe) as desk:
        cards = await desk.off(desk.index.cards)
        return [cards[source] for source in sorted(cards)]


async def _remove(recipe: str, given: Sequence[str]) -> list[str]:
    from trimtab.errors import NotFoundError, RequestError

    async with _opened(recipe) as desk:
        cards = await desk.off(desk.index.cards)
        gone: list[str] = []
        for one in given:
            found = [card for card in cards.values() if _meant(card, one, desk.settings.folder)]
            if not found:
                fix = f"See those there are: {_recipe.hint('docs list', recipe)}"
                raise NotFoundError(f"There is no document {one!r}.", fix, param="source")
            if held := [card.source for card in found if card.origin != "added"]:
                raise RequestError(
                    f"{held[0]} is read from the recipe's paths: it would be back at the next start.",
                    "Move the file away, or mend `paths` of [retrieve].", param="source",
                )  # fmt: skip
            gone += [card.source for card in found if card.source not in gone]
        await desk.off(desk.index.drop, gone)
        return gone


async def _search(recipe: str, question: str, k: int, reader: str) -> "tuple[list[Passage], float]":
    from trimtab.cli._meter import Meter
    from trimtab.retrieve import _search as searching

    async with _opened(recipe) as desk:
        with Meter() as meter:
            await desk.library(meter).learn()
        (principal,) = await _principals(desk.settings, [reader]) or (None,) if reader else (None,)
        vector = (await desk.encoder.embed([question]))[0]
        began = time.perf_counter()
        meaning = desk.options.meaning
        found = await desk.off(
            searching.search, desk.index, question, vector, k or desk.options.k, principal, meaning
        )  # fmt: skip
        return found, round((time.perf_counter() - began) * 1e3, 2)


class _Desk:
    """What the commands work on: the recipe's index, on a thread of its own."""

    def __init__(self, settings: "Settings", options: "Options") -> None:
        from trimtab.encode import encoder
        from trimtab.retrieve import _open

        self.settings, self.options = settings, options
        self.encoder: Encoder = encoder.Encoder.load()
        self._helpers: list[Encoder] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="documents")
        open_ = (_open.opened, options.engine, settings.home, self.encoder.dims, settings.secrets.get)
        self.index: Index = self._thread.submit(*open_).result()

    async def off(self, work: Callable[..., Any], *given: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *given)

    def library(self, meter: "Meter") -> "Library":
        from trimtab.retrieve._library import Library

        options = self.options
        return Library(self.index, lambda: self.encoder, self.settings.folder, self.off, size=options.size,
                       overlap=options.overlap, tell=meter, helpers=self._help)  # fmt: skip

    def _help(self) -> "list[Encoder]":
        """An encoder for each further core: several with a thread each are faster than one with several threads."""
        from trimtab.encode import encoder

        while len(self._helpers) < min(_cores(), MOST) - 1:
            self._helpers.append(
                encoder.Encoder.load(encoder.HOME)
            )  # without heads, which take memory and are not used here
        return self._helpers

    async def close(self) -> None:
        await self.off(self.index.close)
        self._thread.shutdown(wait=False)
        for encoder in (self.encoder, *self._helpers):
            encoder.close()


@asynccontextmanager
async def _opened(recipe: str) -> AsyncIterator[_Desk]:
    """The recipe's index, made where there is none yet and true to the recipe's own paths.

    Raises `ConfigError`, `StorageError`.
    """
    import sqlite3

    from trimtab import load, settings
    from trimtab.cli._meter import Meter
    from trimtab.errors import ConfigError, StorageError
    from trimtab.retrieve import hybrid

    loaded = settings.load(recipe)
    part = loaded.retrieve
    if part is None or part.kind != "hybrid":
        raise ConfigError(f"The recipe {loaded.name!r} looks nothing up in documents.",
                          'Give it [retrieve] with kind = "hybrid".')  # fmt: skip
    options: Options = load.options("retrieve", "hybrid", part.options)
    hybrid.checked(options)
    try:
        desk = _Desk(loaded, options)
        try:
            with Meter() as meter:
                await desk.library(meter).recipe(options.paths)
            yield desk
        finally:
            await desk.close()
    except (sqlite3.Error, OSError) as error:
        raise StorageError(
            f"The index of the documents in {loaded.home} cannot be used: {error}.",
            "Free the disk or mend its rights; a broken docs.db may be deleted, then add again.",
        ) from error


def _cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


async def _principals(settings: "Settings", readers: Sequence[str]) -> tuple[str, ...] | None:
    """The principals that are meant; None where none is given. Raises `NotFoundError` for a key that nobody has."""
    from trimtab.cli._ledger import FILE
    from trimtab.server import keys
    from trimtab.store.engine import Store

    plain = {"local": "local", "admin": "admin", "everybody": "*"}
    if not readers:
        return None
    if all(reader in plain for reader in readers):
        return tuple(plain[reader] for reader in readers)
    store = Store.open(settings.home / FILE, _out.say, settings.audit.head)
    try:
        return tuple([plain.get(reader) or (await keys.get(store, reader)).id for reader in readers])
    finally:
        await store.close()


def _meant(card: "Card", given: str, folder: Path) -> bool:
    file, place = (folder / card.source).absolute(), Path(given).absolute()
    return card.source == given or card.root == str(place) or file.is_relative_to(place)


def _tell(report: "Report") -> None:
    for file, why in report.failed:
        _out.say(f"not read: {file}: {why}.")
    for file, why in report.skipped[:SKIPS]:
        _out.say(f"skipped: {file}: {why}.")
    if len(report.skipped) > SKIPS:
        _out.say(f"skipped: {len(report.skipped) - SKIPS} more.")
    counts = {"added": report.added, "changed": report.changed, "unchanged": report.unchanged,
              "removed": report.removed, "the same as another": report.same, "not read": report.failed,
              "skipped": report.skipped}  # fmt: skip
    print(", ".join(f"{len(found)} {what}" for what, found in counts.items() if found) or "nothing there")


def _line(card: "Card") -> str:
    from trimtab.cli import _render

    who = "" if card.readers == ("*",) else f"  for {', '.join(card.readers)}"
    return f"{card.chunks:>6} chunks  {card.kind:<8}  {_render.visible(card.source)}{who}"


def _shown(passage: "Passage") -> str:
    from trimtab.cli import _render

    head = f"{passage.score:.3f}  {passage.source}:{passage.start}-{passage.end}  {passage.title}"
    return f"{_render.visible(head)}\n       {_render.visible(' '.join(passage.text.split())[:300])}\n"
