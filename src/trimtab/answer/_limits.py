"""How many calls one replica gets at a time: as many as it bears, found by adding a little and cutting a lot. Pure.

AIMD after D. Chiu and R. Jain, "Analysis of the Increase and Decrease Algorithms for Congestion Avoidance in Computer
Networks", 1989. It starts at `most`: a server that never says that it has too much is never held back.
"""

BACK = 0.7
"""What is left of the limit after a sign of overload: CUBIC's factor, RFC 9438 section 4.6."""


class Limit:
    """`outstanding` calls of `limit`; `least` and `most` bound it."""

    __slots__ = ("_cuts", "least", "limit", "most", "outstanding")

    def __init__(self, most: int, least: int = 1) -> None:
        self.most, self.least, self.limit = most, min(least, most), float(most)
        self.outstanding = self._cuts = 0

    def __str__(self) -> str:
        return f"{self.outstanding} of {int(self.limit)} at a time"

    @property
    def room(self) -> bool:
        return self.outstanding < int(self.limit)

    def begin(self) -> int:
        """A ticket to hand to `ended`."""
        self.outstanding += 1
        return self._cuts

    def ended(self, ticket: int, overloaded: bool | None) -> None:
        """Whether the server had too much; None where the call says nothing of that.

        A call from before the last cut does not cut again: one overload is one sign, however many calls it hit.
        """
        if overloaded and ticket == self._cuts:
            self.limit = max(float(self.least), min(self.limit, self.outstanding) * BACK)
            self._cuts += 1
        elif overloaded is False and self.limit < self.most and self.outstanding * 2 >= self.limit:
            self.limit = min(float(self.most), self.limit + 1 / self.limit)
        self.outstanding -= 1
