"""A month at a provider against hardware of one's own, at several volumes, and the volume where they cross."""

import math
from typing import Any

from trimtab.errors import ConfigError
from trimtab.plan import cost, crossing, needs, options, prices
from trimtab.plan.cost import House
from trimtab.plan.option import Option

VOLUMES = (0.1, 1, 2, 10, 100)


def compare(
    model: str, on: str, against: str, *, requests: float, prompt: float, answer: float, training: float = 0
) -> dict[str, Any]:
    """The comparison as plain values.

    Raises:
        ConfigError: an unknown model, device or price, or one that the device cannot hold.
    """
    listed = prices.find(against)
    if not listed:
        raise options.no_price(against)
    asked = needs.made({
        "model": model, "device": on, "large": against, "requests": requests, "prompt": prompt, "answer": answer,
    })  # fmt: skip
    if not 0 <= training < math.inf:
        raise ConfigError(f"training = {training} cannot be.", "Give USD, 0 or more.", param="training")
    house = House()
    able = [one for one in options.all_of(asked, house) if one.routing == "small only" and "memory" not in one.fails]
    if not able:
        raise ConfigError(f"{on} does not hold {model}.", "trimtab plan fit says why.")
    held = [one for one in able if one.cost is not None]
    if not held:
        raise ConfigError(f"The catalog has no price of {on}.", "Name a device that has one: trimtab plan devices.")

    def cheapest(volume: float) -> tuple[float, Option]:
        """USD a month, and of what."""
        bills = ((crossing.cost_at(one, asked, house, volume / requests) or 0.0, one) for one in held)
        return min(bills, key=lambda pair: pair[0])

    def own(volume: float) -> float:
        return cheapest(volume)[0]

    def api(volume: float) -> float:
        return cost.api(listed, asked.use.times(volume / requests))

    rows = [
        {"requests": requests * n, "own": bill, "option": one.kind, "api": api(requests * n)}
        for n in VOLUMES for bill, one in (cheapest(requests * n),)
    ]  # fmt: skip
    return {
        "option": cheapest(requests)[1].name,
        "against": against, "price_source": listed.source, "price_seen": listed.seen, "rows": rows,
        "crosses_at_requests": cost.threshold(own, api, requests / 1e4, requests * 1e4),
        "training": training or None,
        "payback_months": cost.payback(training, api(requests), own(requests)) if training else None,
    }  # fmt: skip


def lines(found: dict[str, Any]) -> list[str]:
    """The comparison as lines."""
    shown = [f"{found['option']} against {found['against']} ({found['price_source']}, seen {found['price_seen']})"]
    shown += [
        f"  {row['requests']:>14,.0f} requests a month: own USD {row['own']:>12,.0f}, provider USD "
        f"{row['api']:>12,.0f}; own is {row['option']}"
        for row in found["rows"]
    ]
    at = found["crosses_at_requests"]
    shown.append(f"They cross at {at:,.0f} requests a month." if at else "They do not cross at any volume tried.")
    if found["training"] and found["payback_months"] is None:
        shown.append("The training is never paid back at this volume: the provider is cheaper.")
    elif found["training"]:
        shown.append(f"The training is paid back after {found['payback_months']:.1f} months.")
    return shown
