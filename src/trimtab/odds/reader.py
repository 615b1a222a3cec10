"""The odds of a folder as router and verifier share them: loaded once, and a question embedded once for both."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trimtab.encode.encoder import Encoder
    from trimtab.odds.fitted import Odds
    from trimtab.odds.ridge import Matrix

KEPT = 64
"""Questions whose features are kept: what the router has read of a request, the verifier need not read again."""


class Reader:
    """Odds that are loaded when they are first asked for; kinds ask at start, so that a fault is seen then."""

    def __init__(self, folder: Path, encoder: "Callable[[], Encoder]") -> None:
        self._folder, self._encoder = folder, encoder
        self._odds: Odds | None = None
        self._kept: dict[str, Matrix] = {}

    async def odds(self) -> "Odds":
        """The odds, checked, off the event loop. Raises `ConfigError`."""
        from trimtab.odds.fitted import Odds

        if self._odds is None:
            self._odds = await asyncio.to_thread(Odds.load, self._folder)
        return self._odds

    async def query(self, question: str) -> "Matrix":
        """`fitted.features` of a question, from one pass of the encoder."""
        from trimtab.odds.fitted import features

        if (found := self._kept.get(question)) is None:
            found = self._kept[question] = features((await self._encoder().gist([question]))[0], question)
            while len(self._kept) > KEPT:
                del self._kept[next(iter(self._kept))]
        return found
