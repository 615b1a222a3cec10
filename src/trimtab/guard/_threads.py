"""Long texts are looked through in a thread, so that they hold up no other request."""

from collections.abc import Sequence

from trimtab.types import Text

LONG = 4_000
"""Characters of all texts of one check from which a thread is worth its 50 us."""
DIGITS = 400
"""The same of digits: each number of ten is worth up to three looks into the numbering plans (50 us each)."""


def are_long(texts: Sequence[Text]) -> bool:
    """Whether to look through `texts` takes long enough to do it elsewhere."""
    size = 0
    for text in texts:
        size += len(text.text)
    return size >= LONG


def are_numbers(texts: Sequence[Text]) -> bool:
    """Whether `texts` hold so many digits that looking numbers up takes long."""
    size = 0
    for text in texts:
        if len(text.text) >= DIGITS:
            size += sum(map(text.text.count, "0123456789"))
    return size >= DIGITS
