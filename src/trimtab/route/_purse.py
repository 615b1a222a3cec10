"""How open a purse is: money that a window has, what was spent of it, and how far threshold and ladder give way. Pure.

What the cheap models are on the way to cost by the end of the window is set aside. The rest becomes free for the
large one evenly over the window, `AHEAD` of it at once for bursts; what a quiet hour leaves stays free. While more than
`SOFT` of it is free the purse is open and nothing changes, however large the budget is; below, the threshold falls in
step, so that fewer answers climb, down to none where nothing is free.
"""

import msgspec

AHEAD = 0.05
"""Share that may be spent before its time."""
SOFT = 0.04
"""Share over which the purse closes: less than `AHEAD`, so that it begins open."""
SOON = 0.02
"""Share of the window before which nothing is told from its beginning."""


class Purse(msgspec.Struct, kw_only=True):
    """A window from `start` to `end` (epoch seconds) with `budget` nanodollars.

    `large` is what all processes are known to have paid for the large model, `rest` what for all else; `held` what
    requests on their way may come to at most.
    """

    budget: int
    start: float
    end: float
    large: int = 0
    rest: int = 0
    held: int = 0

    def for_large(self, now: float) -> float:
        """Nanodollars of the whole window that the large model may have, as far as can be told."""
        return max(0.0, self.budget - self.rest / max(self._gone(now), SOON))

    def free(self, now: float) -> float:
        """Nanodollars that the large model may be asked for now."""
        return min(1.0, self._gone(now) + AHEAD) * self.for_large(now) - self.large - self.held

    def openness(self, now: float) -> float:
        """From 0 (nothing may climb) to 1 (as if there were no ceiling)."""
        whole = self.for_large(now)
        return min(1.0, max(0.0, self.free(now) / (SOFT * whole))) if whole else 0.0

    def _gone(self, now: float) -> float:
        return min(max((now - self.start) / (self.end - self.start), 0.0), 1.0)
