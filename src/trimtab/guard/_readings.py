"""What the house encoder's heads say of texts: read once in a pass, whichever guards ask, and however often.

Kept are the last `KEPT` readings by a keyed digest of their text; no text is.
"""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from trimtab.errors import ConfigError
from trimtab.ports import Tools

KEPT = 2048
"""Some 2 kB each."""


class Readings:
    """Of one encoder; `of` makes it, or gives the one that there is."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Any] = OrderedDict()
        self._key = secrets.token_bytes(32)

    async def read(self, encoder: Any, texts: Sequence[str]) -> list[Any]:
        """A `trimtab.encode.reading.Reading` for each text, in their order."""
        digests = [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._key).digest() for text in texts]
        found = {digest: self._known[digest] for digest in digests if digest in self._known}
        new = {digest: text for digest, text in zip(digests, texts, strict=True) if digest not in found}
        if new:
            found |= zip(new, await encoder.read(list(new.values())), strict=True)
        for digest in digests:
            self._known[digest] = found[digest]
            self._known.move_to_end(digest)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return [found[digest] for digest in digests]


ALL: WeakKeyDictionary[Any, Readings] = WeakKeyDictionary()


async def read(tools: Tools, texts: Sequence[str]) -> list[Any]:
    """What the encoder of `tools` reads in `texts`. Raises `ConfigError` for one without heads."""
    encoder = tools.encoder()
    if not has_heads(encoder):
        raise ConfigError(f"{tools.name}: this encoder has no heads.", "Make it with runs/encoder.sh, or reinstall.")
    return await ALL.setdefault(encoder, Readings()).read(encoder, texts)


def has_heads(encoder: Any) -> bool:
    return hasattr(encoder, "read")
