"""A small model first, a large one where it is not trusted: cost, latency, quality and what wrong answers lose."""

from bisect import bisect_right
from collections.abc import Sequence

import msgspec

from trimtab.errors import ConfigError

FIRST, PACE = (0.3, 0.8, 1.8), (20.0, 60.0, 150.0)
"""Seconds to a provider's first token, and its tokens a second, at 10, 50 and 90 %: assumptions."""
SAMPLES = 40


class Rung(msgspec.Struct, frozen=True):
    """USD a request, its latency's samples in seconds (a distribution, not a mean), and the share it gets right."""

    cost: float
    latency: Sequence[float]
    right: float


class Outcome(msgspec.Struct, frozen=True):
    """Of a cascade: USD a request, seconds at p50 and p95, share right, USD that wrong answers lose."""

    cost: float
    p50: float
    p95: float
    right: float
    loss: float


def cascade(small: Rung, large: Rung, escalated: float, *, catches: float = 0.8, harm: float = 0.0) -> Outcome:
    """Every request pays the small rung, `escalated` of them the large one too, after it. `catches`: the share of the
    small one's errors that are among those; `harm`: USD that one wrong answer costs.

    Raises:
        ConfigError: a share outside 0 to 1.
    """
    if not all(0 <= share <= 1 for share in (escalated, catches, small.right, large.right)):
        raise ConfigError("Shares lie between 0 and 1.", "Give 0.2 for 20 %.")
    right = routed(small.right, large.right, escalated, catches)
    mixture = _mixture(small.latency, large.latency, escalated)
    return Outcome(
        small.cost + escalated * large.cost, _at(mixture, 0.5), _at(mixture, 0.95), right, (1 - right) * harm
    )


def routed(small: float, large: float, escalated: float, catches: float) -> float:
    """The share right (0 to 1): `catches` of the small model's errors are among those escalated, as far as they go; the
    large model gets of all of these its own share right, also of those that the small one had right."""
    caught = min(catches * (1 - small), escalated)
    return small - (escalated - caught) + escalated * large


def blended(small: Sequence[float], large: Sequence[float], escalated: float, *, after: bool) -> tuple[float, float]:
    """Seconds at p50 and p95 where `escalated` of the requests wait for the large model too, `after` the small one (a
    cascade), or for it alone (a router)."""
    if after:
        mixture = _mixture(small, large, escalated)
    else:
        mixture = sorted(
            [(value, (1 - escalated) / len(small)) for value in small]
            + [(value, escalated / len(large)) for value in large]
        )
    return _at(mixture, 0.5), _at(mixture, 0.95)


def first_p95() -> float:
    """Seconds to a provider's first token that one in twenty exceeds."""
    return _between(FIRST, 0.95)


def provider(answer: float) -> tuple[list[float], list[float]]:
    """Seconds to the first token and to the last at a provider, as samples: an assumption, since none publishes them.
    Who is slow to begin is taken to be slow to write."""
    firsts = [_between(FIRST, (n + 0.5) / SAMPLES) for n in range(SAMPLES)]
    paces = [_between(PACE, 1 - (n + 0.5) / SAMPLES) for n in range(SAMPLES)]
    return firsts, [first + answer / pace for first, pace in zip(firsts, paces, strict=True)]


def _between(edges: tuple[float, float, float], share: float) -> float:
    """The value at a quantile, from those at 10, 50 and 90 %, by powers."""
    low, middle, high = edges
    return middle * ((middle / low) if share < 0.5 else (high / middle)) ** ((share - 0.5) / 0.4)


def break_even(small: Rung, large: Rung) -> float:
    """The share of escalations above which the large model alone is cheaper; 0 to 1."""
    return max(0.0, min(1.0, 1 - small.cost / large.cost)) if large.cost > 0 else 0.0


def _mixture(small: Sequence[float], large: Sequence[float], escalated: float) -> list[tuple[float, float]]:
    """Values with weights: the small one alone, or the small and then the large one, independent of each other."""
    alone = [(value, (1 - escalated) / len(small)) for value in small]
    weight = escalated / (len(small) * len(large))
    return sorted(alone + [(a + b, weight) for a in small for b in large])


def _at(weighted: list[tuple[float, float]], share: float) -> float:
    sums, running = [], 0.0
    for _, weight in weighted:
        running += weight
        sums.append(running)
    return weighted[min(bisect_right(sums, share - 1e-12), len(weighted) - 1)][0]
