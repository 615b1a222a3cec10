"""The replicas of one model and which of them gets a call: where its prompt is cached, else the less busy of two. Pure.

A conversation stays on the replica of its highest rendezvous hash (D. Thaler and C. Ravishankar, 1998, weighted as in
J. Resch, "New Hashing Algorithms for Data Storage", SDC 2015) unless that one is tried, out or too busy; the rest goes
by the power of two choices (M. Mitzenmacher, 2001).
"""

from collections.abc import Collection, Sequence
from hashlib import blake2b
from math import log
from random import Random
from typing import Any

import msgspec

from trimtab.answer._breaker import Breaker, Fuse
from trimtab.answer._limits import Limit
from trimtab.types import Json

BUSY = 1.25
"""A sticky replica may have this times the mean load and one call more: V. Mirrokni et al., "Consistent Hashing with
Bounded Loads", 2018."""
OUT, LONGEST = 10.0, 300.0
"""Seconds that an outlier is out at first, doubled each time, and at most: Envoy's are 30 and 300."""
FEWEST, WORSE, FAILING = 5, 3.0, 0.2
"""An outlier: of at least so many calls, so many times the others' share of failures, and at least this one."""
PREFIX = 4096
"""Bytes of a conversation's beginning that are hashed."""

_encode = msgspec.json.Encoder().encode


class Replica:
    """One place where the model is: its `weight`, and what is known of it; `model` answers."""

    __slots__ = ("_out", "breaker", "calls", "limit", "model", "name", "out_until", "rests_until", "seed", "weight")

    def __init__(self, name: str, model: Any, weight: float, fuse: Fuse, pool: int) -> None:
        self.name, self.model, self.weight = name, model, weight
        self.breaker, self.limit = Breaker(fuse), Limit(pool)
        self.seed = name.encode()
        self.rests_until = self.out_until = float("-inf")
        self._out, self.calls = OUT, 0

    def __str__(self) -> str:
        return f"{self.name} (weight {self.weight:g}; {self.breaker}; {self.limit})"

    def well(self, now: float) -> bool:
        """Neither ejected nor asked for a rest."""
        return now >= self.out_until and now >= self.rests_until

    def begin(self, now: float) -> tuple[int, int]:
        """A ticket to hand to `ended`."""
        self.calls += 1
        return self.breaker.begin(now), self.limit.begin()

    def ended(self, ticket: tuple[int, int], ok: bool | None, overloaded: bool | None, now: float) -> None:
        """How a call ended: see `Breaker.ended` and `Limit.ended`."""
        self.breaker.ended(ticket[0], ok, now)
        self.limit.ended(ticket[1], overloaded)

    def eject(self, now: float) -> None:
        """Out for a while, longer each time."""
        self.out_until = now + self._out
        self._out = min(self._out * 2, LONGEST)

    @property
    def load(self) -> float:
        return self.limit.outstanding / self.weight


def choose(
    replicas: Sequence[Replica], tried: Collection[Replica], prefix: bytes | None, now: float, random: Random
) -> Replica | None:
    """The replica for a call among those whose breaker allows one, None where none has room.

    One that was tried, is out or rests is chosen only where there is no other: the last is never ejected.
    """
    closed = [replica for replica in replicas if replica.breaker.allows(now)]
    well = [replica for replica in closed if replica.well(now)] or closed
    fresh = [replica for replica in well if replica not in tried] or well
    room = [replica for replica in fresh if replica.limit.room] or [replica for replica in well if replica.limit.room]
    if not room:
        return None
    if prefix is not None:
        sticky = max(fresh, key=lambda replica: rank(replica, prefix))
        if sticky.limit.room and sticky.load <= BUSY * _mean(fresh) + 1:
            return sticky
    pair = random.sample(room, 2) if len(room) > 2 else room
    return min(pair, key=lambda replica: ((replica.limit.outstanding + 1) / replica.weight, random.random()))


def rank(replica: Replica, prefix: bytes) -> float:
    """The replica's score for a conversation: each wins a share by its weight, and losing one moves only its own."""
    number = int.from_bytes(blake2b(replica.seed + prefix, digest_size=8).digest(), "big")
    return -replica.weight / log((number + 1) / (2**64 + 1))


def prefix(messages: Sequence[Json]) -> bytes:
    """The beginning of a conversation, the same at each of its turns: up to the first thing that the user said."""
    upto = next((i for i, message in enumerate(messages) if message.get("role") == "user"), 0) + 1
    try:
        return _encode(messages[:upto])[:PREFIX]
    except (UnicodeEncodeError, TypeError, OverflowError, RecursionError):
        return b""  # the call will say what is wrong with it


def outlier(replica: Replica, replicas: Sequence[Replica], now: float) -> bool:
    """Whether this one fails so much more than the others that they had better do without it.

    Never where no other would take its calls.
    """
    others = [one for one in replicas if one is not replica and one.well(now) and one.breaker.allows(now)]
    failed, calls = replica.breaker.share(now)
    if not others or calls < FEWEST or failed < FAILING * calls:
        return False
    shares = [one.breaker.share(now) for one in others]
    theirs, all_ = sum(share[0] for share in shares), sum(share[1] for share in shares)
    return not all_ or failed * all_ > WORSE * theirs * calls


def _mean(replicas: Sequence[Replica]) -> float:
    return sum(replica.limit.outstanding for replica in replicas) / sum(replica.weight for replica in replicas)
