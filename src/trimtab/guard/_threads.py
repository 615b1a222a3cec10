"""Long texts are looked through in a thread, so that they hold up no other request."""

from collections.abc import Sequence

from trimtab.types import Text

LONG = 50_000
"""Characters of all texts of one check from which a thread is worth its 50 us."""


def are_long(texts: Sequence[Text]) -> bool:
    """Whether to look through `texts` takes long enough to do it elsewhere."""
    size = 0
    for text in texts:
        size += len(text.text)
    return size >= LONG
