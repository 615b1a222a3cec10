"""`trimtab doctor`: what is wrong with a set-up, and how to mend it."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import typer

from trimtab.cli import _out, _recipe

if TYPE_CHECKING:
    from trimtab.cli._checks import Finding
    from trimtab.settings import Settings

HELP = """Say what is wrong with a set-up and how to mend it.

Looks at Python, the encoder's files, the recipe and its kinds, the state's folder and database, the port, the
documents, the keys that are set (names only), the models that can be found, the clock and the disk. Calls no model.
Exit code 1 where something fails."""
COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def attach(app: typer.Typer) -> None:
    app.command("doctor", help=HELP)(doctor)


def doctor(
    word: str = _recipe.WORD,
    recipe: str = _recipe.NAMED,
    json: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    import msgspec

    findings = asyncio.run(_all(_recipe.chosen(word, recipe), quiet=json))
    failed = any(finding.state == "fail" for finding in findings)
    if json:
        _out.emit({"ok": not failed, "checks": msgspec.to_builtins(findings)})
    raise typer.Exit(1 if failed else 0)


async def _all(recipe: str, *, quiet: bool) -> list["Finding"]:
    findings: list[Finding] = []
    async for finding in _checked(recipe):
        findings.append(finding)
        if not quiet:
            _show(finding)
    return findings


async def _checked(recipe: str) -> AsyncIterator["Finding"]:
    """Every finding as it comes; a recipe that cannot be read ends the round early."""
    from trimtab import settings
    from trimtab.cli import _checks
    from trimtab.errors import TrimtabError

    for finding in (*_checks.python(), *_checks.clock(), *_checks.encoder()):
        yield finding
    try:
        loaded = settings.load(recipe)
    except TrimtabError as error:
        yield _checks.fail("recipe", error.message, error.fix)
        return
    yield _checks.ok("recipe", str(settings.find(recipe)))
    for check in (_checks.kinds, _checks.home, _checks.shared, _checks.documents, _checks.keys):
        for finding in check(loaded):
            yield finding
    async for finding in _opened(loaded):
        yield finding


async def _opened(settings: "Settings") -> AsyncIterator["Finding"]:
    """What only opening can tell: the port, the database, the models."""
    from trimtab.cli import _checks, _service
    from trimtab.errors import TrimtabError

    async with _service.session(settings) as session:
        peer = await _service.peer(session, _service.address(settings))
    for finding in _checks.port(settings, peer):
        yield finding
    for look in (_database, _built):
        try:
            for finding in await look(settings):
                yield finding
        except TrimtabError as error:
            yield _checks.fail(look.__name__.strip("_"), error.message, error.fix)


async def _database(settings: "Settings") -> list["Finding"]:
    """Whether the database opens, is of this version and is whole."""
    from sqlalchemy import text

    from trimtab.cli import _checks
    from trimtab.store.engine import Store

    path = settings.home / "trimtab.db"
    if not path.exists():
        return [_checks.ok("database", f"{path} is made at the first start")]
    store = Store.open(path, lambda _: None)
    try:
        said = (await store.read(text("PRAGMA quick_check")))[0][0]
    finally:
        await store.close()
    if said != "ok":
        return [_checks.fail("database", f"{path} is damaged: {said}", "Restore a backup, or move the file away.")]
    return [_checks.ok("database", f"{path} opens, its schema is current and it is whole")]


async def _built(settings: "Settings") -> list["Finding"]:
    """Whether every part builds and starts, in a home that is thrown away; and which models were found."""
    import tempfile
    from pathlib import Path

    import msgspec

    from trimtab.cli import _checks
    from trimtab.wiring import open_system

    said: list[str] = []
    with tempfile.TemporaryDirectory(prefix="trimtab-doctor-") as home:
        async with open_system(msgspec.structs.replace(settings, home=Path(home)), said.append) as system:
            names = tuple(system.desk.models)
            chat = any(
                spec.abilities >= {"chat"} and "cache" not in spec.abilities for spec in system.desk.specs.values()
            )
            lines = system.found
    shown = [_checks.ok("built", f"every part starts; models: {', '.join(names)}")]
    shown += [*_checks.skipped(said), *(_checks.ok("models", line) for line in lines)]
    if not chat:
        lacking = "No model takes every request: a person answers what the small ones do not."
        shown.append(_checks.warn("models", lacking, "See docs/how-to/add-a-large-model.md."))
    return shown


def _show(finding: "Finding") -> None:
    from rich.text import Text

    line = Text.assemble((f"{finding.state:<5}", COLOURS[finding.state]), f"{finding.check:<10}{finding.what}")
    shown = _out.console()
    shown.print(line, soft_wrap=True)
    if finding.fix:
        shown.print(Text(f"     {'':<10}{finding.fix}"), soft_wrap=True)
