"""Whether a failed call is made again, and when: full jitter, inside a budget, and Retry-After kept. Pure."""

from random import Random

import msgspec

from trimtab.errors import UpstreamDownError, UpstreamError, UpstreamTimeoutError

AGAIN = frozenset({502, 503, 504})
"""Statuses after which the same server may do better; another one may after any that is not the request's fault."""


class Retries(msgspec.Struct, frozen=True, kw_only=True):
    """At most `most` a call; `base` and `cap` bound the jitter, `patience` a Retry-After that is waited for: seconds.

    The jitter is "full jitter": M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    most: int = 1
    base: float = 0.05
    cap: float = 2.0
    patience: float = 1.0

    def __str__(self) -> str:
        return (
            f"retries: {self.most} a call before its first byte, a Retry-After of up to {self.patience:g} s waited for"
        )

    def wait(self, error: UpstreamError, tries: int, left: float, elsewhere: bool, random: Random) -> float | None:
        """Seconds until the next of `tries` + 1 calls, None where there is none.

        `left` are the seconds of the request's time; half of them must remain for the answer. `elsewhere` says that
        another replica would take the call: then a Retry-After need not be waited for.
        """
        if tries > self.most or not (elsewhere or _same(error)):
            return None
        wait = random.uniform(0, min(self.cap, self.base * 2 ** (tries - 1)))
        if error.retry_after is not None and not elsewhere:
            if error.retry_after > self.patience:
                return None
            wait += error.retry_after
        return wait if wait <= left / 2 else None


class Budget:
    """Retries are at most a `share` of the calls, so that they cannot multiply an outage; a `reserve` serves the quiet.

    A token bucket as in Finagle's `RetryBudget`: a call puts in `share` of a token, a retry takes one.
    """

    __slots__ = ("_reserve", "_share", "_tokens")

    def __init__(self, share: float = 0.2, reserve: float = 10.0) -> None:
        self._share, self._reserve, self._tokens = share, reserve, reserve

    def __str__(self) -> str:
        return f"at most {self._share:.0%} of the calls and {self._reserve:g}"

    def earn(self) -> None:
        """A call was made."""
        if self._tokens < self._reserve:
            self._tokens = min(self._reserve, self._tokens + self._share)

    def take(self) -> bool:
        """Whether there is one more, which is then taken."""
        if self._tokens < 1 - 1e-9:
            return False
        self._tokens -= 1
        return True


def _same(error: UpstreamError) -> bool:
    """Whether the same server may do better: it was not reached, said so, or says when."""
    if error.status is None and error.code != "egress_denied":
        return isinstance(error, UpstreamDownError | UpstreamTimeoutError)
    return error.status in AGAIN or (error.status == 429 and error.retry_after is not None)
