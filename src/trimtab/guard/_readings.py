"""What the house encoder says of texts, its heads or their words alone: once, whichever guards ask, and however often.

Kept are the last `KEPT` of each by a keyed digest of their text; no text is.
"""

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from trimtab.errors import ConfigError
from trimtab.ports import Tools

KEPT = 2048
"""Some 2 kB each."""


LONG = 1_000
"""Characters from which a glance (1 ms for some 800) is worth a thread."""


class Known:
    """What was found for texts, by their digests."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Any] = OrderedDict()
        self._key = secrets.token_bytes(32)

    async def of(self, texts: Sequence[str], find: Callable[[list[str]], Awaitable[Sequence[Any]]]) -> list[Any]:
        """What is known of each text, in their order; what is not is found first."""
        digests = [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._key).digest() for text in texts]
        found = {digest: self._known[digest] for digest in digests if digest in self._known}
        new = {digest: text for digest, text in zip(digests, texts, strict=True) if digest not in found}
        if new:
            found |= zip(new, await find(list(new.values())), strict=True)
        for digest in digests:
            self._known[digest] = found[digest]
            self._known.move_to_end(digest)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return [found[digest] for digest in digests]


READINGS: WeakKeyDictionary[Any, Known] = WeakKeyDictionary()
GLANCES: WeakKeyDictionary[Any, Known] = WeakKeyDictionary()
THAI = Known()


async def read(tools: Tools, texts: Sequence[str]) -> list[Any]:
    """A `trimtab.encode.reading.Reading` for each text. Raises `ConfigError` for an encoder without heads."""
    encoder = _with_heads(tools)
    return await READINGS.setdefault(encoder, Known()).of(texts, encoder.read)


async def glance(tools: Tools, texts: Sequence[str]) -> list[Any]:
    """The parts of each text, `trimtab.encode.reading.Glance`s. Raises `ConfigError` for an encoder without heads."""
    encoder = _with_heads(tools)

    async def looked(new: list[str]) -> list[Any]:
        if sum(map(len, new)) < LONG:
            return [encoder.glance(text) for text in new]
        return await asyncio.to_thread(lambda: [encoder.glance(text) for text in new])

    return await GLANCES.setdefault(encoder, Known()).of(texts, looked)


async def thai(texts: Sequence[str]) -> list[Sequence[Any]]:
    """What the tagger of Thai names finds in each text, `trimtab.encode.thai.Tag`s."""
    if all(text.isascii() for text in texts):
        return [() for _ in texts]
    from trimtab.encode.thai import LETTERS, names

    if not any(LETTERS.search(text) for text in texts):
        return [() for _ in texts]

    async def tagged(new: list[str]) -> list[Any]:
        return await asyncio.to_thread(lambda: [names(text) for text in new])

    return await THAI.of(texts, tagged)


def _with_heads(tools: Tools) -> Any:
    encoder = tools.encoder()
    if not has_heads(encoder):
        raise ConfigError(f"{tools.name}: this encoder has no heads.", "Make it with runs/encoder.sh, or reinstall.")
    return encoder


def has_heads(encoder: Any) -> bool:
    return hasattr(encoder, "read")
