"""The house encoder and its vocabulary, for the tests of one file."""

import pytest

from trimtab.encode.encoder import HOME, Encoder
from trimtab.encode.tokenizer import WordPiece


@pytest.fixture(scope="module")
def encoder():
    made = Encoder.load()
    yield made
    made.close()


@pytest.fixture(scope="module")
def pieces():
    return WordPiece.load(HOME / "vocab.txt")
