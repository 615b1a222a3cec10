"""Speculative decoding: what a draft gains, from how often it is accepted, what it costs, and the batch.

Source of the expectation: Leviathan et al. 2023 (arXiv 2211.17192), theorem 3.8.
"""

from trimtab.errors import ConfigError
from trimtab.plan.figure import Figure

VERIFY = 0.005
"""What one more token to verify adds to a step of the target, as a share of it, while memory bounds the step."""
STEPS = {"eagle": 1.62, "eagle2": 1.94, "hydra": 1.7, "medusa": 1.45, "rest": 1.23, "lookahead": 1.5, "ngram": 1.1}
"""What a step costs with a method that drafts by itself, over a plain one (Spec-Bench, batch 1, 3090 and A100)."""
SPREAD = (0.85, 1.15)


def expected(acceptance: float, drafted: int) -> float:
    """Tokens a step of the target yields: the accepted run and one of its own."""
    if acceptance >= 1:
        return drafted + 1.0
    return (1 - acceptance ** (drafted + 1)) / (1 - acceptance)


def speed_up(acceptance: float, drafted: int, cost: float, batch: float = 1, knee: float = 64) -> Figure:
    """Times faster. `cost`: a token of the draft over a token of the target; `knee`: the batch at which operations
    bind the target, beyond which every token to verify costs as much as one to write.

    Raises:
        ConfigError: a share outside 0 to 1, or a number that is negative.
    """
    if not 0 <= acceptance <= 1 or not 0 < drafted <= 64 or cost < 0 or batch < 1:
        raise ConfigError(
            f"No draft has acceptance {acceptance}, {drafted} tokens, cost {cost} and batch {batch}.",
            "Acceptance is 0 to 1, drafted tokens 1 to 64, the cost a share of the target's.",
        )
    return given_tokens(expected(acceptance, drafted), drafted, cost, batch, knee)


def cost_of(draft: float, target: float) -> float:
    """A token of the draft over one of the target, from their active parameters: small models reach less of the
    hardware, about a third (T5 drafts of arXiv 2211.17192, table 2)."""
    return min(1.0, 3 * draft / target)


def given_tokens(tokens: float, drafted: int, cost: float, batch: float = 1, knee: float = 64) -> Figure:
    """The same where `tokens` a step were measured."""
    bound = min(1.0, (batch - 1) / knee)
    step = 1 + drafted * cost + drafted * (VERIFY * (1 - bound) + bound)
    central = tokens / step
    return Figure(central * SPREAD[0], central, central * SPREAD[1], "x", "calibrated", f"{tokens:.2f} tokens a step")


def by_method(tokens: float, method: str) -> Figure | None:
    """Times faster, of a method in `STEPS` that yields `tokens` a step; None for one that is not known."""
    word = next((word for word in sorted(STEPS, key=len, reverse=True) if word in method.lower()), None)
    if word is None:
        return None
    central = tokens / STEPS[word]
    return Figure(
        central * SPREAD[0], central, central * SPREAD[1], "x", "calibrated", f"{method}, {tokens:.2f} a step"
    )


def best_length(acceptance: float, cost: float, batch: float = 1, most: int = 16) -> int:
    """How many tokens to draft; 0 where drafting only costs."""
    gains = {0: 1.0} | {n: speed_up(acceptance, n, cost, batch).central for n in range(1, most + 1)}
    return max(gains, key=gains.__getitem__)
