"""Money: tiers of APIs, own or rented hardware as a staircase, people, and where one becomes cheaper than another."""

import math
from collections.abc import Callable

import msgspec

from trimtab.errors import ConfigError
from trimtab.plan import prices
from trimtab.plan.devices import Device
from trimtab.plan.figure import Figure
from trimtab.plan.prices import Listed
from trimtab.types import Price

HOURS = 730.0
"""Of a month."""
MONTHS = 36
"""Over which bought hardware is written off."""


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """A month: requests, and the tokens of one."""

    requests: float
    prompt: float
    answer: float
    cached: float = 0.0
    """Share of the prompt's tokens that the provider has in its cache."""
    batch: float = 0.0
    """Share of the requests that may wait for a day, at the price of a batch where the provider has one."""

    @property
    def tokens(self) -> float:
        """Tokens a month, in and out."""
        return self.requests * (self.prompt + self.answer)

    def times(self, factor: float) -> "Use":
        """The same requests, more of them."""
        return msgspec.structs.replace(self, requests=self.requests * factor)


class House(msgspec.Struct, frozen=True, kw_only=True):
    """What running hardware costs: USD a kWh, watts around the devices (PUE), people's hours a month and their USD."""

    kwh: float = 0.20
    overhead: float = 1.3
    hours: float = 10.0
    wage: float = 80.0
    machine: float = 2000.0
    """USD for the machine around up to four bought GPUs."""
    spare: int = 1
    """Servers beyond those that the load needs, so that one may fail."""
    utilisation: float = 0.7
    """Of what a server can carry, how much is planned for; applied once, here."""


def api(listed: Listed, use: Use) -> float:
    """USD a month at a provider, at the tier of so long a prompt; what may wait at the price of a batch."""
    now = _bill(prices.at(listed, use.prompt).price, use)
    later = _bill(prices.at(listed, use.prompt, batch=True).price, use) if use.batch else now
    return use.requests * (now * (1 - use.batch) + later * use.batch)


def _bill(price: Price, use: Use) -> float:
    """USD of one request."""
    fresh = use.prompt * (1 - use.cached) * float(price.input or 0)
    warm = use.prompt * use.cached * float(price.cached if price.cached is not None else price.input or 0)
    return (fresh + warm + use.answer * float(price.output or 0)) / 1e6


def servers(use: Use, carries: float, house: House, peak: float = 3.0) -> int:
    """Servers for the busiest time: `carries` requests a second each; `peak`: how far it is above the mean."""
    if carries <= 0:
        raise ConfigError("A server that carries nothing needs no plan.", "Is the model too large for the device?")
    busiest = use.requests / (HOURS * 3600) * peak
    return max(1, math.ceil(busiest / (carries * house.utilisation))) + house.spare


def own(device: Device, gpus: int, count: int, watts: float, house: House) -> Figure | None:
    """USD a month for `count` servers of `gpus` devices: rented by the hour, or bought and written off; with people.

    None where the catalog has no price of the device at all.
    """
    people = house.hours * house.wage
    power = count * gpus * watts * house.overhead / 1000 * HOURS * house.kwh
    if device.hourly:
        low, high = (rate * gpus * count * HOURS + people for rate in device.hourly)
        return Figure(low, (low + high) / 2, high, "USD/month", "extrapolated", "rented")
    if device.price:
        around = house.machine * math.ceil(gpus / 4) if device.kind in ("gpu", "dc") else 0.0
        bought = (device.price * gpus + around) * count / MONTHS
        low, high = bought * 0.8 + power + people, bought * 1.6 + power + people
        return Figure(low, bought * 1.15 + power + people, high, "USD/month", "extrapolated", "bought")
    return None


def threshold(
    first: Callable[[float], float], second: Callable[[float], float], low: float, high: float
) -> float | None:
    """Where the cheaper of two changes between `low` and `high`, on a logarithmic scale; None where it does not.

    Of a staircase it is the first crossing; steps are found to 1 %.
    """
    before = first(low) <= second(low)
    at, factor = low, (high / low) ** (1 / 400)
    for _ in range(400):
        then = at * factor
        if (first(then) <= second(then)) != before:
            return _between(first, second, at, then, before)
        at = then
    return None


def payback(upfront: float, before: float, after: float) -> float | None:
    """Months after which a distillation or a purchase has paid for itself; None where it never does."""
    return upfront / (before - after) if before > after else None


def _between(
    first: Callable[[float], float], second: Callable[[float], float], low: float, high: float, before: bool
) -> float:
    for _ in range(30):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if (first(middle) <= second(middle)) == before else (low, middle)
    return high
