"""One way to run a model: what it gives, what it needs, and which constraints it breaks."""

import math
from functools import cache

import msgspec

from trimtab.plan import cache as kv
from trimtab.plan import cost, load, models
from trimtab.plan.cost import House
from trimtab.plan.devices import Device
from trimtab.plan.figure import Figure
from trimtab.plan.needs import Needs
from trimtab.plan.refit import NONE, Scales

RUNTIMES = {"vllm": "vLLM", "llama.cpp": "llama.cpp", "api": "provider"}
PERSONAL = ("phone", "browser")
"""Kinds of devices that have their own user, and no bill."""
CROWD = 2000
"""So many devices wait for nobody."""


class Option(msgspec.Struct, kw_only=True):
    """One way to run it. Seconds, tokens a second, MiB on each device, USD a month, watts in all; None: not known."""

    model: str
    precision: str
    runtime: str
    device: str
    gpus: int
    servers: int
    routing: str
    quality: float | None
    memory: float
    usable: float
    pace: float
    first: float
    first_p95: float
    cost: float | None
    watts: float | None
    batch: float = 1.0
    carries: float = 0.0
    """Requests a second that one server could carry."""
    large: str = ""
    draft: str = ""
    """A small model of the same family that proposes tokens."""
    known: bool = True
    scales: Scales = NONE
    """Of a probe of the device."""
    fails: dict[str, str] = msgspec.field(default_factory=dict)
    """Constraint -> why this option breaks it."""

    @property
    def each(self) -> str:
        """The hardware of one server: `2 x rtx-4090`."""
        return f"{self.gpus} x {self.device}" if self.gpus > 1 else self.device or "its provider"

    @property
    def name(self) -> str:
        """As a table shows it, with how many servers of it."""
        return self._on(self.each if self.servers < 2 else f"{self.servers} servers of {self.each}")

    @property
    def kind(self) -> str:
        """The same at any volume: it says not how many servers."""
        return self._on(self.each)

    def _on(self, hardware: str) -> str:
        what = " ".join(word for word in (self.model, self.precision) if word)
        if self.draft:
            what += f" with {self.draft} drafting"
        if self.large:
            what += f", {self.routing} to {self.large},"
        return f"{what} on {hardware}" + (f" ({RUNTIMES[self.runtime]})" if self.device else "")


def judged(needs: Needs, option: Option) -> Option:
    """The option with the reasons why it breaks constraints of degree."""
    fails = option.fails
    if option.memory > option.usable and option.device:
        fails["memory"] = f"{option.memory / 1024:.1f} GiB > {option.usable / 1024:.1f} GiB on {option.device}"
        if option.gpus > 1:
            fails["memory"] += f", each of {option.gpus}"
    if needs.latest and option.first_p95 > needs.latest:
        fails["first_p95"] = f"p95 TTFT {option.first_p95:.2f} s > {needs.latest:.3g} s"
    if needs.slowest and option.pace < needs.slowest:
        fails["pace"] = f"{option.pace:.1f} tok/s < {needs.slowest:.3g}"
    if needs.budget and (option.cost is None or option.cost > needs.budget):
        limit = f"{needs.budget:,.0f}" if needs.budget >= 100 else f"{needs.budget:g}"
        fails["budget"] = f"USD {'unknown' if option.cost is None else f'{option.cost:,.0f}'} a month > {limit}"
    if needs.watts and (option.watts or 0) > needs.watts:
        fails["watts"] = f"{option.watts:,.0f} W > {needs.watts:g} W"
    return option


def slotted(needs: Needs, house: House, device: Device, read: float, token: float) -> tuple[int, float]:
    """How many devices that take one sequence each, and seconds to the first token, p95, with waiting for one of them;
    `read`: seconds for a prompt, `token`: for a token. A device that has its own user is one, and nobody waits."""
    late, service = read * load.LONG + token, read + token * needs.answer
    if device.kind in PERSONAL:
        return 1, late
    count = max(1, math.ceil(needs.rate * service / house.utilisation))
    if count > CROWD:
        return count + house.spare, late
    count, wait = load.enough(needs.rate, service, count, needs.latest and needs.latest - late)
    return count + house.spare, late + wait


def price(device: Device, gpus: int, count: int, watts: float, house: House) -> float | None:
    if device.kind in PERSONAL:
        return 0.0
    found: Figure | None = cost.own(device, gpus, count, watts, house)
    return found.central if found else None


@cache
def cached(name: str, tokens: int) -> float:
    """MiB of one sequence's cache and state, without what padding of its cells adds."""
    shape, session = models.catalog()[name].shape, kv.Session(context=tokens)
    return kv.keys_values(shape, session) * tokens / kv.cells(session) + kv.states(shape, 1)
