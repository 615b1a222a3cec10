"""Cuts a long text into runs of token ids that fit the encoder, between sentences where that is possible. Pure."""

import re
from collections.abc import Iterator

from trimtab.encode.tokenizer import WordPiece

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")


def windows(text: str, pieces: WordPiece, size: int) -> list[list[int]]:
    """The ids of `text` in runs of 1 to `size`, in order and complete; none where the text has no token."""
    found: list[list[int]] = []
    run: list[int] = []
    for part in _parts(text, pieces, size):
        if len(run) + len(part) > size:
            found.append(run)
            run = []
        run = run + part
    return [*found, run] if run else found


def parts(text: str, pieces: WordPiece, size: int) -> Iterator[tuple[int, int, list[int]]]:
    """Runs of whole sentences of 1 to `size` ids, each as its place text[start:end] and its ids; in order and complete.

    A sentence that is longer is cut between words, and a longer word anywhere.
    """
    run: list[int] = []
    start = end = 0
    for at, sentence in sentences(text):
        for first, last, ids in _halves(sentence, at, pieces, size):
            if run and len(run) + len(ids) > size:
                yield start, end, run
                run = []
            start, end, run = first if not run else start, last, run + ids
    if run:
        yield start, end, run


def _halves(text: str, at: int, pieces: WordPiece, size: int) -> Iterator[tuple[int, int, list[int]]]:
    ids = pieces.ids(text)
    if len(ids) <= size:
        if ids:
            yield at, at + len(text), ids
        return
    middle = max(text.rfind(" ", 0, len(text) // 2 + 1), 0) or len(text) // 2
    yield from _halves(text[:middle], at, pieces, size)
    yield from _halves(text[middle:], at + middle, pieces, size)


def sentences(text: str) -> Iterator[tuple[int, str]]:
    """Where each sentence begins, and the sentence, without the white space between them."""
    start = 0
    for end in _SENTENCE_END.finditer(text):
        yield start, text[start : end.start()]
        start = end.end()
    yield start, text[start:]


def _parts(text: str, pieces: WordPiece, size: int) -> Iterator[list[int]]:
    """Each sentence's ids; a sentence longer than a window in several parts, cut between words."""
    for _, sentence in sentences(text):
        ids = pieces.ids(sentence)
        while len(ids) > size:
            end = _word_end(ids, pieces, size)
            yield ids[:end]
            ids = ids[end:]
        if ids:
            yield ids


def _word_end(ids: list[int], pieces: WordPiece, size: int) -> int:
    starts = (end for end in range(size, size // 2, -1) if ids[end] not in pieces.inner)
    return next(starts, size)
