"""Names, addresses, places and organisations as the house encoder tags them, beside what has a structure.

Thai, which its vocabulary lacks, has a tagger of its own.
"""

from collections.abc import Sequence

from trimtab.guard import _readings
from trimtab.guard._spans import united
from trimtab.ports import Tools
from trimtab.types import Span

TAGS = ("PERSON", "ADDRESS", "PLACE", "ORGANIZATION")
"""The encoder's kinds that patterns cannot find."""
KNOWN = (*TAGS, "GROUP", "TITLE", "DATE", "AGE", "EMAIL", "PHONE", "CARD", "IBAN", "ID", "IP", "URL")
"""All of the encoder's kinds."""
BESIDE = frozenset({"PLACE", "ORGANIZATION", "GROUP", "TITLE", "DATE", "AGE"})
"""What is personal only where somebody is named or reached too: a country's capital is not."""
SHORTEST = 2
"""Characters of a name."""


async def tagged(
    tools: Tools, texts: Sequence[str], kinds: Sequence[str], structured: Sequence[Sequence[Span]]
) -> list[tuple[Span, ...]]:
    """The names in each text, where nothing `structured` was found; those in Thai alone if the encoder has no heads."""
    if not kinds or not texts:
        return [() for _ in texts]
    heads = _readings.has_heads(tools.encoder())
    tags = [reading.tags for reading in await _readings.read(tools, texts)] if heads else [() for _ in texts]
    every = zip(tags, await _readings.thai(texts), structured, strict=True)
    return [_of([*read, *thai], kinds, found) for read, thai, found in every]


def _of(tags: Sequence, kinds: Sequence[str], structured: Sequence[Span]) -> tuple[Span, ...]:  # pyright: ignore[reportMissingTypeArgument, reportUnknownParameterType]
    wanted = [(tag.kind, tag.start, tag.end) for tag in tags if tag.kind in kinds and tag.end - tag.start >= SHORTEST]
    given = [Span(kind=kind, start=start, end=end) for kind, start, end in united(wanted)]
    free = [
        span for span in given if not any(span.start < other.end and other.start < span.end for other in structured)
    ]
    somebody = bool(structured) or any(span.kind not in BESIDE for span in free)
    return tuple(span for span in free if somebody or span.kind not in BESIDE)
