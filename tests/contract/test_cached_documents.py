"""An answer from documents is repeated while they are as they were, and not once one of them was removed or changed.

On the whole path, with each engine: a gateway's system runs, and somebody else adds and removes documents beside it.
"""

import contextlib

import _database
import pytest

from trimtab import flow, wiring
from trimtab.encode.encoder import Encoder
from trimtab.retrieve import _open
from trimtab.retrieve._library import Library
from trimtab.settings import parse
from trimtab.testing import ask

QUESTION = "What does a berth cost?"
RECIPE = {
    "discover": {"environment": False, "loopback": False},
    "model": [{"kind": "cache"}, {"kind": "reader"}],
}


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request, tmp_path):
    """The recipe's settings with an engine of the index."""
    with contextlib.ExitStack() as stack:
        secrets = {}
        if request.param == "postgres":
            pytest.importorskip("psycopg", reason="the extra trimtab[postgres] is not installed")
            secrets[_open.ADDRESS] = stack.enter_context(_database.started())
        table = {**RECIPE, "retrieve": {"kind": "hybrid", "engine": request.param}}
        for name in ("recipe", "home"):
            (tmp_path / name).mkdir()
        yield parse(table, folder=tmp_path / "recipe", home=tmp_path / "home", name="x", secrets=secrets)


@pytest.fixture(scope="module")
def encoder():
    loaded = Encoder.load()
    yield loaded
    loaded.close()


async def off(work, *given):
    return work(*given)


async def test_an_answer_is_repeated_only_while_its_documents_are_as_they_were(settings, encoder, tmp_path):
    page, other = tmp_path / "fees.txt", tmp_path / "other.txt"
    page.write_text("A berth costs twelve euros a night.\n")
    index = _open.opened(settings.retrieve.options["engine"], settings.home, encoder.dims, settings.secrets.get)
    library = Library(index, lambda: encoder, tmp_path, off, size=1200, overlap=200)

    async def add(file):
        await library.take(str(file))
        await library.learn()

    async def asked(system):
        answer, trace = await flow.run(system.desk, ask(QUESTION))
        return answer.text, trace.answered_by

    try:
        await add(page)
        async with wiring.open_system(settings) as system:
            await system.desk.retriever.ready()
            first, by = await asked(system)
            assert ("twelve euros" in first, by) == (True, "reader")
            assert await asked(system) == (first, "cache")
            page.write_text("A berth costs thirty euros a night.\n")
            await add(page)
            changed, by = await asked(system)
            assert ("thirty euros" in changed, by) == (True, "reader")
            assert await asked(system) == (changed, "cache")
            other.write_text("The harbour office opens at nine.\n")
            await add(other)
            assert await asked(system) == (changed, "reader"), "another document may know better"
            assert await asked(system) == (changed, "cache")
        async with wiring.open_system(settings) as system:
            await system.desk.retriever.ready()
            assert await asked(system) == (changed, "cache"), "a restart changes no document"
            index.drop([card for card in index.cards() if card.endswith("fees.txt")])
            outcome, trace = await _without(system)
            assert "euros" not in (getattr(outcome, "text", "") or "")
            assert trace.answered_by != "cache"
    finally:
        index.close()


async def _without(system):
    """What is said where the page is gone; a reader that finds nothing passes, and nobody answers."""
    try:
        return await flow.run(system.desk, ask(QUESTION))
    except Exception as error:
        return error, type("Trace", (), {"answered_by": ""})
