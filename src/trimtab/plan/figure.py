"""A figure that says how sure it is: low, central and high, in a unit, and what it rests on."""

from collections.abc import Iterable
from typing import Literal

import msgspec

Tag = Literal["exact", "probed", "calibrated", "extrapolated", "unknown"]
ORDER: tuple[Tag, ...] = ("exact", "probed", "calibrated", "extrapolated", "unknown")
"""From the surest: computed as the engine computes it, scaled by a measurement on this device, fitted on measurements
of other devices or models, outside of what was fitted, or nothing but a guess with a wide interval."""


class Figure(msgspec.Struct, frozen=True):
    """`low <= central <= high`; where the tag is not `exact`, an 80 % interval. `unit` as it is printed."""

    low: float
    central: float
    high: float
    unit: str
    tag: Tag
    why: str = ""

    def times(self, factor: float, unit: str = "") -> "Figure":
        """The figure scaled by a number that is known (0 or more)."""
        return Figure(
            self.low * factor, self.central * factor, self.high * factor, unit or self.unit, self.tag, self.why
        )

    def inverse(self, factor: float, unit: str) -> "Figure":
        """`factor` divided by the figure: seconds a token from tokens a second."""
        if self.low <= 0:
            return Figure(factor / self.high, factor / self.central, float("inf"), unit, "unknown", self.why)
        return Figure(factor / self.high, factor / self.central, factor / self.low, unit, self.tag, self.why)


def exact(value: float, unit: str, why: str = "") -> Figure:
    """What follows from the engine's own rules: no interval."""
    return Figure(value, value, value, unit, "exact", why)


def around(value: float, below: float, above: float, unit: str, tag: Tag, why: str = "") -> Figure:
    """`value` with an interval given as factors: `around(10, 0.8, 1.3, ...)` is 8 to 13."""
    return Figure(value * below, value, value * above, unit, tag, why)


def total(parts: Iterable[Figure], unit: str) -> Figure:
    """The sum; as sure as its least sure part, and as if all of them erred in the same direction."""
    parts = tuple(parts)
    return Figure(
        sum(part.low for part in parts), sum(part.central for part in parts), sum(part.high for part in parts),
        unit, weakest(part.tag for part in parts),
    )  # fmt: skip


def weakest(tags: Iterable[Tag]) -> Tag:
    """The least sure of the tags; `exact` of none."""
    found: list[Tag] = [*tags, "exact"]
    return max(found, key=ORDER.index)
