"""Texts without the characters that nobody sees, with a way back: what is pasted from pages has them inside numbers."""

import re
from collections.abc import Iterable, Iterator

from trimtab.guard._normalise import INVISIBLE

SIGNS = re.compile("[" + "".join(map(re.escape, map(chr, INVISIBLE))) + "]")


class Unseen:
    """`text` is the given one without them; there are none where this is false."""

    def __init__(self, given: str) -> None:
        self.text = SIGNS.sub("", given)
        self._given = given

    def __bool__(self) -> bool:
        return len(self.text) < len(self._given)

    def back(self, found: Iterable[tuple[str, int, int]]) -> Iterator[tuple[str, int, int]]:
        """Finds in `text` as those in the given one."""
        if listed := list(found):
            places = [at for at, char in enumerate(self._given) if not SIGNS.match(char)]
            yield from ((kind, places[start], places[end - 1] + 1) for kind, start, end in listed)
