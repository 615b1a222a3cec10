"""The house encoder and its vocabulary, for the tests of one file, and a database, for one test."""

import pytest

from trimtab.encode.encoder import HOME, Encoder
from trimtab.encode.tokenizer import WordPiece
from trimtab.store.engine import Store


@pytest.fixture(scope="module")
def encoder():
    made = Encoder.load()
    yield made
    made.close()


@pytest.fixture(scope="module")
def pieces():
    return WordPiece.load(HOME / "vocab.txt")


@pytest.fixture
async def store(tmp_path):
    opened = Store.open(tmp_path / "trimtab.db")
    yield opened
    await opened.close()
