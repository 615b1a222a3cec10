"""Which rung next, and does climbing still pay: pure; it ends, never repeats and never descends."""

from collections.abc import Mapping, Sequence

from trimtab.errors import LimitError
from trimtab.money import cost, show
from trimtab.types import Limits, ModelSpec, Usage


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
