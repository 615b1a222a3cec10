"""Which rung next, may it have the text, and does climbing pay: pure; it ends, never repeats and never descends."""

from collections.abc import Mapping, Sequence

import msgspec

from trimtab.errors import LimitError
from trimtab.money import cost, show
from trimtab.types import HERE, Limits, ModelSpec, Request, Usage


def next_rung(
    ladder: Sequence[str],
    position: int,
    *,
    specs: Mapping[str, ModelSpec],
    limits: Limits,
    spent: int | None,
    expected: Usage,
) -> int | None:
    """The index of the next rung above `position` (-1 before the first) that the cost limit allows, None at the top.

    `spent` is nanodollars so far (None unknown), `expected` the usage to reckon with. Under a cost limit a rung of
    unknown price is not climbed to, and after an unknown cost only free rungs are: the limit could not be kept.
    Raises `LimitError` where rungs are left and none of them is affordable.
    """
    above = range(position + 1, len(ladder))
    found = next((i for i in above if affordable(specs[ladder[i]], limits, spent, expected)), None)
    if found is None and above:
        raise LimitError(
            f"The cost limit of {show(limits.cost)} does not allow {', '.join(ladder[i] for i in above)}.",
            "Raise limits.cost_usd, or set the price of a model whose price is unknown.",
            param="trimtab.limits.cost_usd",
        )
    return found


def affordable(spec: ModelSpec, limits: Limits, spent: int | None, expected: Usage) -> bool:
    """Whether a call on `spec` is expected to stay inside what the cost limit leaves."""
    if limits.cost is None:
        return True
    price = cost(expected, spec.price)
    if price == 0:
        return True
    return price is not None and spent is not None and spent + price <= limits.cost


def kept_from(spec: ModelSpec, limits: Limits) -> str:
    """Why a text under these limits may not go to a model: `privacy_local` or `privacy_region`; "" where it may."""
    if limits.where == "local" and spec.where != "local":
        return "privacy_local"
    if limits.regions is not None and spec.region != HERE and spec.region not in limits.regions:
        return "privacy_region"
    return ""


def within(request: Request, regions: tuple[str, ...] | None) -> Request:
    """The request with its regions narrowed to the system's; None narrows nothing."""
    if regions is None:
        return request
    limits = msgspec.structs.replace(request.limits, regions=common(request.limits.regions, regions))
    return msgspec.structs.replace(request, limits=limits)


def common(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The regions that both allow; None allows all."""
    if one is None or other is None:
        return one if other is None else other
    return tuple(region for region in one if region in other)
