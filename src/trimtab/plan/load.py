"""Waiting under load: a discrete-event simulation of continuous batching, and Erlang C for servers with slots.

One server takes sequences while its batch has room. A step writes a token for each of them; a prompt that comes in is
read in chunks that the steps share. Arrivals are Poisson; lengths are exponential around their means, cut at 4 times.
"""

import heapq
import math
import random
from collections.abc import Callable

import msgspec

from trimtab.errors import ConfigError

REQUESTS, WARM = 600, 60
"""How many requests are simulated, and the first that are not counted."""
MORE = 32
"""Servers beyond those that the load needs, at the most, for a limit of time."""
LENGTHS = 4.0
LONG = math.log(20)
"""The length that one in twenty exceeds, over the mean."""
PARTS = 40
CROWDED = 0.8
"""Share of the slots in use from which on they are what binds."""


class Waits(msgspec.Struct, frozen=True):
    """Seconds at p50 and p95: to the first token, a token, and end to end; the share of time at work; what binds."""

    first_p50: float
    first_p95: float
    token_p50: float
    token_p95: float
    whole_p50: float
    whole_p95: float
    busy: float
    batch: float
    bottleneck: str
    firsts: tuple[float, ...] = ()
    wholes: tuple[float, ...] = ()
    """The distributions: a value for each fortieth of the requests."""

    @property
    def stable(self) -> bool:
        """False where requests come faster than they leave."""
        return self.busy < 0.98


class Sequence(msgspec.Struct):
    """One request in the simulation."""

    came: float
    prompt: float
    answer: int
    first: float = 0.0
    written: int = 0


def simulate(
    rate: float, prompt: float, answer: float, *, step: Callable[[float], float], read: float, slots: int,
    overhead: float = 0.0, seed: int = 0, requests: int = REQUESTS,
) -> Waits:  # fmt: skip
    """One server under `rate` requests a second of `prompt` and `answer` tokens on average.

    `step(batch)` is the seconds of one step, `read` the seconds a prompt's token takes, `slots` the largest batch;
    `overhead`: seconds that each request takes besides, in no other's way.

    Raises:
        ConfigError: a rate or a length that is not positive.
    """
    if not (rate > 0 and prompt >= 0 and answer > 0 and slots > 0):
        raise ConfigError(f"No load has {rate} requests/s of {prompt} + {answer} tokens.", "They must be positive.")
    coin = random.Random(seed)  # noqa: S311 - a simulation, not a secret
    waiting = _arrivals(coin, rate, prompt, answer, requests)
    done, running, now, worked, filled, reading = [], [], 0.0, 0.0, 0.0, 0.0
    paces = _Paces(step)
    while waiting or running:
        if not running and waiting:
            now = max(now, waiting[0].came)
        while waiting and waiting[0].came <= now and len(running) < slots:
            came = waiting.pop(0)
            now += came.prompt * read
            reading += came.prompt * read
            came.first = now
            running.append(came)
        leap, seconds = _leap(running, waiting, paces.at(len(running)), now, slots)
        now += seconds
        worked += seconds
        filled += seconds * len(running)
        for one in running:
            one.written += leap
        finished = [one for one in running if one.written >= one.answer]
        running = [one for one in running if one.written < one.answer]
        done += [(one.came, one.first + overhead, now + overhead, one.answer) for one in finished]
    return _waits(done, worked, reading, filled, now, slots, rate)


def slots(
    rate: float, prompt: float, answer: float, *, token: float, read: float, servers: int, seed: int = 0,
    requests: int = REQUESTS,
) -> Waits:  # fmt: skip
    """`servers` that take one sequence each, from one queue: `read` and `token` are seconds a token read and written.

    Raises:
        ConfigError: a rate or a length that is not positive.
    """
    if not (rate > 0 and prompt >= 0 and answer > 0 and servers > 0):
        raise ConfigError(f"No load has {rate} requests/s of {prompt} + {answer} tokens.", "They must be positive.")
    coin, free, done = random.Random(seed), [0.0] * servers, []  # noqa: S311 - a simulation, not a secret
    worked = reading = ended = 0.0
    for one in _arrivals(coin, rate, prompt, answer, requests):
        first = max(one.came, heapq.heappop(free)) + one.prompt * read
        last = first + one.answer * token
        heapq.heappush(free, last)
        done.append((one.came, first, last, one.answer))
        worked, reading, ended = worked + one.answer * token, reading + one.prompt * read, max(ended, last)
    waits = _waits(done, worked, reading / servers, worked, ended, servers, rate)
    bound = "slots" if waits.busy > CROWDED else "prefill" if reading > worked else "decode"
    return msgspec.structs.replace(waits, bottleneck=bound, batch=waits.busy * servers)


def erlang_c(rate: float, service: float, servers: int) -> tuple[float, float]:
    """The share of requests that wait, and the mean wait in seconds, at `servers` that each take one at a time.

    Infinite where they are too few. Source: Erlang 1917; computed by the stable recursion of Erlang B.
    """
    offered = rate * service
    if offered >= servers:
        return 1.0, math.inf
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = offered * blocked / (count + offered * blocked)
    waits = servers * blocked / (servers - offered * (1 - blocked))
    return waits, waits * service / (servers - offered)


def slots_p95(rate: float, service: float, servers: int) -> float:
    """Seconds of waiting at p95, from Erlang C: the wait of those that wait is exponential."""
    share, mean = erlang_c(rate, service, servers)
    if share <= 0.05 or math.isinf(mean):
        return math.inf if math.isinf(mean) else 0.0
    return mean / share * math.log(share / 0.05)


def enough(rate: float, service: float, count: int, within: float | None) -> tuple[int, float]:
    """Servers, from `count` on, of which one is the next that a request waits `within` seconds for at p95, and that
    wait; `count` where that is no limit, or not to be had by waiting less."""
    wait = slots_p95(rate, service, count)
    if within is None or within <= 0:
        return count, wait
    for more in range(count + 1, count + MORE):
        if wait <= within:
            break
        count, wait = more, slots_p95(rate, service, more)
    return count, wait


class _Paces:
    """Seconds of a step by batch, asked once each."""

    def __init__(self, step: Callable[[float], float]) -> None:
        self.step, self.known = step, {0: 0.0}

    def at(self, batch: int) -> float:
        if batch not in self.known:
            self.known[batch] = self.step(batch)
        return self.known[batch]


def _arrivals(coin: random.Random, rate: float, prompt: float, answer: float, requests: int) -> list[Sequence]:
    now, found = 0.0, []
    for _ in range(requests):
        now += coin.expovariate(rate)
        size = min(LENGTHS * prompt, coin.expovariate(1 / prompt)) if prompt else 0.0
        found.append(Sequence(now, size, max(1, round(min(LENGTHS * answer, coin.expovariate(1 / answer))))))
    return found


def _leap(running: list[Sequence], waiting: list[Sequence], step: float, now: float, slots: int) -> tuple[int, float]:
    """How many steps nothing changes in: until the first one ends, or the next comes in while there is room."""
    if not running:
        return 0, 0.0
    steps = min(one.answer - one.written for one in running)
    if waiting and len(running) < slots and step > 0:
        steps = min(steps, max(1, math.ceil((waiting[0].came - now) / step)))
    return steps, steps * step


def _waits(
    done: list[tuple[float, float, float, int]], worked: float, reading: float, filled: float, now: float, slots: int,
    rate: float,
) -> Waits:  # fmt: skip
    done.sort()
    kept = done[WARM:] or done
    first = sorted(first - came for came, first, _, _ in kept)
    token = sorted((ended - first) / answer for _, first, ended, answer in kept)
    whole = sorted(ended - came for came, _, ended, _ in kept)
    batch, span = filled / max(worked, 1e-9), max(now, 1e-9)
    busy = min(1.0, (filled / slots + reading) / span)
    if span * rate > 1.25 * len(done):  # the queue was still there long after the last arrival
        busy = 1.0
    bottleneck = "slots" if batch > CROWDED * slots else "prefill" if reading > worked else "decode"
    return Waits(
        _at(first, 0.5), _at(first, 0.95), _at(token, 0.5), _at(token, 0.95), _at(whole, 0.5), _at(whole, 0.95),
        busy, batch, bottleneck, _shares(first), _shares(whole),
    )  # fmt: skip


def _shares(ordered: list[float]) -> tuple[float, ...]:
    return tuple(_at(ordered, (n + 0.5) / PARTS) for n in range(PARTS))


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
