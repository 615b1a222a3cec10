"""Is a cheap model worth trying first? Expected cost, failed tries included, against going straight to the next."""

from typing import Literal, TypeAlias

Worth: TypeAlias = Literal["try", "unlikely_right", "not_worth_trying"]


def worth(right: float, least: float, cost: float | None, next_cost: float | None) -> Worth:
    """Whether to try a model that does as well as the next one with probability `right` before that one.

    A try costs `cost` (with its verifiers) and, where it fails, the next model's `next_cost` too; it pays if
    cost + (1 - right) * next_cost < next_cost. With an unknown cost (None) only `least` decides. More money never makes
    a try less worth: the budget is no part of this.
    """
    if right < least:
        return "unlikely_right"
    if cost is not None and next_cost is not None and next_cost > 0 and cost >= right * next_cost:
        return "not_worth_trying"
    return "try"
