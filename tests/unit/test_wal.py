"""A new database that two processes open at once: neither is refused."""

import sqlite3
import threading

import pytest

from trimtab.errors import StorageError
from trimtab.retrieve._sqlite import Sqlite
from trimtab.store import sqlite as engine
from trimtab.store.engine import Store


def _store(path):
    Store.open(path)


def _index(path):
    Sqlite(path, 4)


@pytest.mark.parametrize("opens", [_store, _index])
def test_a_file_that_another_just_makes_is_waited_for(tmp_path, opens):
    path = tmp_path / "new.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    ends = threading.Timer(0.2, lambda: other.execute("COMMIT"))
    ends.start()
    opens(path)
    ends.join()
    with sqlite3.connect(path) as found:
        assert found.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()


def test_one_that_another_keeps_is_given_up_after_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "WAIT", 0.05)
    path = tmp_path / "kept.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="locked"):
        Store.open(path)
    other.close()
