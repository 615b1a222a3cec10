"""How sure one may be of an answer, decided anew after each opinion: is the next one worth its price?"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from trimtab import asking
from trimtab.money import cost, estimate
from trimtab.odds import fitted, opinion
from trimtab.types import Answer, Usage, Verdict

if TYPE_CHECKING:
    from trimtab.odds.ridge import Matrix

Ask = Callable[[str, int], Awaitable[Answer | Verdict]]
"""Asks a model by its name for its n-th further sample."""


class Score(msgspec.Struct, frozen=True):
    """The chance that the next model would do no better, and what is to be said of how it was found."""

    value: float
    why: str = ""


async def weighed(
    odds: fitted.Odds, key: fitted.Key, question: str, query: "Matrix", answer: Answer,
    opinions: tuple[str, ...], around: float, ask: Ask,
) -> Score:  # fmt: skip
    """The score of an answer, `key` its odds without opinions, after as many of `opinions` as are worth their price.

    `around` is the threshold at which that is reckoned; `query` the question's features.
    """
    assert answer.text is not None  # noqa: S101 - there is nothing to weigh in a tool call
    heard: dict[str, str | None] = {}
    lost = ""
    while True:
        row = fitted.seen(query, question, answer.text, tuple(heard.values()))[None]
        score = float(odds.sides[key].stays(row)[0])
        after = odds.after(key, opinions)
        if after is None:
            break
        name = after.opinions[-1]
        if not opinion.asks(score, around, odds.prospects[after], _share(name, answer, opinions)):
            break
        said = await ask(name.partition("#")[0], len(heard) + 1)
        if isinstance(said, Verdict):
            lost = f" {name} gave no opinion ({said.code})."
            break
        heard[name], key = said.text, after
    if not heard:
        return Score(score, lost.strip())
    alike = [name for at, name in enumerate(heard) if fitted.agreed(row, at)[0]]
    right = float(odds.sides[key].chance(row)[0])
    return Score(score, f"Asked {', '.join(heard)}: {', '.join(alike) or 'none'} agreed; right with {right:.2f}.{lost}")


def _share(name: str, answer: Answer, opinions: tuple[str, ...]) -> float | None:
    """An opinion's cost over the next rung's, for as many tokens as the answer took; None where a price is unknown."""
    asked, above = asking.spec(name.partition("#")[0]), asking.above(answer.model, opinions)
    own, climb = (cost(_usage(answer), spec.price) if spec else None for spec in (asked, above))
    if own is None or climb is None:
        return None
    return own / climb if climb else float(own > 0) * 1e9


def _usage(answer: Answer) -> Usage:
    if answer.usage.prompt or answer.usage.completion:
        return answer.usage
    return Usage(completion=estimate(answer.text or ""), estimated=True)
