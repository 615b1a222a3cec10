"""Has the promise broken since? A test on shadow audits that may be looked at after every one, for ever.

Each audit of an answer that stayed small gives a loss: the large model's quality less the small one's, in [-1, 1]. A
bettor stakes against "the mean loss is at most what is allowed"; by Ville's inequality its capital reaches 1/risk with
a probability of at most `risk` while the promise holds, however long one watches (Shekhar and Ramdas 2023).
"""

import math

import msgspec

STAKES = tuple(0.9 * 2.0**-k for k in range(8))
"""Shares of the most that may be staked; one bettor for each, whose mean capital counts."""


class Monitor(msgspec.Struct, frozen=True, kw_only=True):
    """`allowed`: the mean loss that the promise leaves to answers that stayed small; `risk` of a false alarm, ever.

    `capital` are the logarithms of what each bettor holds, `peak` the most that they ever held together.
    """

    allowed: float
    risk: float = 0.1
    audits: int = 0
    losses: float = 0.0
    capital: tuple[float, ...] = (0.0,) * len(STAKES)
    peak: float = 0.0

    def __post_init__(self) -> None:
        if not -1 < self.allowed < 1:
            raise ValueError(f"allowed = {self.allowed}: a mean loss lies between -1 and 1.")
        if not 0 < self.risk < 1:
            raise ValueError(f"risk = {self.risk} is no probability above 0 and below 1.")

    @property
    def alarm(self) -> bool:
        """Whether the promise is broken, at an error of `risk`; it does not go away by itself."""
        return self.peak >= math.log(1 / self.risk)

    @property
    def p_value(self) -> float:
        """Anytime-valid: of "the promise still holds"."""
        return min(1.0, math.exp(-self.peak))


def watch(monitor: Monitor, loss: float) -> Monitor:
    """The monitor after one more audit. Raises `ValueError` for a loss outside of [-1, 1]."""
    if not -1 <= loss <= 1:
        raise ValueError(f"loss = {loss} is not from -1 to 1.")
    most = 1 / (1 + monitor.allowed)  # at a loss of -1 the whole stake is gone
    capital = tuple(
        held + math.log1p(stake * most * (loss - monitor.allowed))
        for held, stake in zip(monitor.capital, STAKES, strict=True)
    )
    return msgspec.structs.replace(
        monitor, audits=monitor.audits + 1, losses=monitor.losses + loss, capital=capital,
        peak=max(monitor.peak, _together(capital)),
    )  # fmt: skip


def allowed(keep: float, large_quality: float, small_share: float) -> float:
    """The mean loss left to answers that stay small, where their share of the traffic is `small_share`."""
    if not 0 < small_share <= 1:
        raise ValueError(f"small_share = {small_share}: without small answers there is nothing to watch.")
    return min((1 - keep) * large_quality / small_share, 0.999)


def _together(capital: tuple[float, ...]) -> float:
    top = max(capital)
    return top + math.log(sum(math.exp(held - top) for held in capital) / len(capital))
