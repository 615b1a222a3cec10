"""What the ledger may keep of a text: no secret, no personal data, and in a reason no words of the prompt."""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from trimtab import texts
from trimtab.types import Span

SECRET = re.compile(
    r"\b(?:sk|pk|rk|ghp|gho|ghs|github_pat|glpat|hf|xox[abeprs]|AKIA|ASIA|AIza|eyJ)[-_A-Za-z0-9.]{12,}\b"
    r"|\bBearer +[-_A-Za-z0-9.=]{8,}\b"
)
"""Shapes of common keys: a net under the `secrets` guard, for servers that quote the key in their error."""
WINDOW, STRIDE = 16, 8
"""Characters: a quotation of the prompt of `WINDOW + STRIDE` or more is found for sure."""
LONGEST = 500
"""Characters of a reason that are kept."""
UNCHECKED = "[not kept: it could not be checked for personal data]"

Personal = Callable[[str], Sequence[Span]]


class Scrub:
    """Cleans reasons and texts; reasons repeat, so what was found in one is remembered."""

    def __init__(self, personal: Personal) -> None:
        self._personal = personal
        self._reason = lru_cache(maxsize=1024)(self.text)

    def text(self, text: str) -> str:
        """`text` with personal data and secrets replaced by what they are; nothing of it if it cannot be checked."""
        spans = [Span(kind="secret", start=hit.start(), end=hit.end()) for hit in SECRET.finditer(text)]
        try:
            return texts.cut(text, [*spans, *self._personal(text)])
        except Exception:  # noqa: BLE001 - whatever the finder failed on, the text is not kept
            return UNCHECKED

    def why(self, why: str, said: Sequence[str]) -> str:
        """A reason less what it quotes of the texts `said`, cleaned as `text` does, cut to `LONGEST`."""
        if not why:
            return why
        return self._reason(unquoted(why[:LONGEST], said))


def unquoted(why: str, said: Sequence[str]) -> str:
    """`why` with every longer quotation of one of the texts `said` replaced by `[...]`."""
    if len(why) < WINDOW:
        return why
    starts = range(0, len(why) - WINDOW + 1, STRIDE)
    hits = [start for start in starts if any(why[start : start + WINDOW] in text for text in said)]
    if not hits:
        return why
    return texts.cut(why, _joined([_grown(why, start, said) for start in hits]), lambda _: "[...]")


def _grown(why: str, start: int, said: Sequence[str]) -> Span:
    """The window at `start` and what is quoted around it."""
    text = next(text for text in said if why[start : start + WINDOW] in text)
    end = start + WINDOW
    while start > 0 and why[start - 1 : end] in text:
        start -= 1
    while end < len(why) and why[start : end + 1] in text:
        end += 1
    return Span(kind="quote", start=start, end=end)


def _joined(spans: list[Span]) -> list[Span]:
    """Spans in order, overlapping ones made one."""
    joined: list[Span] = []
    for span in spans:
        if joined and span.start <= joined[-1].end:
            span = Span(kind=span.kind, start=joined[-1].start, end=max(span.end, joined.pop().end))
        joined.append(span)
    return joined
