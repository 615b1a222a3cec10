"""What a policy would have cost and kept on recorded outcomes, with intervals, before it is switched on."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec
import numpy as np

from trimtab import money
from trimtab.errors import ConfigError
from trimtab.evaluate import _estimate, _walk
from trimtab.evaluate._estimate import Interval, Values
from trimtab.evaluate._walk import Walked
from trimtab.odds import calibration, question
from trimtab.odds.outcomes import Outcome
from trimtab.types import Price, Usage
from trimtab.wiring import open_system

ALWAYS = "always:"
Prices: TypeAlias = Mapping[str, Price | None]
Status: TypeAlias = Literal["ok", "insufficient_data"]
FEW = 100
"""Rows under which a normal interval says little, and nothing is said."""


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """One policy on the rows. `quality` is the mean outcome from 0 to 1, `kept` its ratio to always asking `large`.

    `cost` is USD a request, None where a cost is unknown; `share` the share of requests that `large` answers, `nobody`
    that nobody does. `seen` rows have the outcome that the policy leads to, worth `effective` rows of equal weight.
    `status` is `insufficient_data` where quality cannot be told, and `why` says so; then `quality` and `kept` are None.
    """

    policy: str
    large: str
    status: Status
    why: str
    rows: int
    seen: int
    effective: float
    quality: Interval | None
    kept: Interval | None
    cost: Interval | None
    share: float
    nobody: float
    left_out: tuple[str, ...] = ()


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy as it walked the rows: `prices` are its own, of models that it has."""

    name: str
    walks: tuple[Walked, ...]
    prices: Prices
    left_out: tuple[str, ...] = ()


async def walked(policy: str, outcomes: Sequence[Outcome], say: Callable[[str], None]) -> Policy:
    """`always:MODEL`, or a recipe whose router and checks are run on the rows. Raises `ConfigError`."""
    if policy.startswith(ALWAYS):
        model = policy.removeprefix(ALWAYS)
        _known(model, outcomes)
        return Policy(name=policy, walks=(Walked(answered=model, called=(model,)),) * len(outcomes), prices={})
    from trimtab import settings

    bare, lost = _walk.bare(settings.load(policy))
    async with open_system(bare, say) as system:
        if not any(name in one.right for name in system.desk.models for one in outcomes):
            raise ConfigError(
                f"No row has an outcome of a model of {policy}: {', '.join(system.desk.models)}.",
                f"The rows have: {', '.join(names(outcomes))}.",
            )
        walks = await _walk.walk(system.desk, outcomes)
        prices = {name: spec.price for name, spec in system.desk.specs.items()}
    return Policy(name=policy, walks=walks, prices=prices, left_out=lost)


def unseen(policies: Sequence[str], outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    """The outcomes on which no policy's odds were trained: on others a policy shows what it has learnt by heart.

    Raises `ConfigError` where none is left, and for odds that cannot be read.
    """
    from trimtab import settings

    for policy in policies:
        if policy.startswith(ALWAYS):
            continue
        loaded = settings.load(policy)
        for part in (loaded.route, *loaded.verifiers):
            if folder := part.options.get("odds"):
                outcomes = calibration.unseen(outcomes, loaded.folder / str(folder))
    return outcomes


def names(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """The models of which a row has an outcome."""
    return tuple(sorted({name for one in outcomes for name in one.right}))


def _known(model: str, outcomes: Sequence[Outcome]) -> None:
    if model not in names(outcomes):
        raise ConfigError(f"No row has an outcome of {model!r}.", f"The rows have: {', '.join(names(outcomes))}.")


def replay(policy: Policy, outcomes: Sequence[Outcome], large: str, confidence: float = 0.9) -> Replayed:
    """The estimate. Raises `ConfigError` for a `large` that no row has or a confidence that is none."""
    _known(large, outcomes)
    if not 0.5 <= confidence < 1:
        raise ConfigError(f"--confidence {confidence} is none.", "Give one from 0.5 to below 1.")
    covariates = np.stack([question.facts(one.question) for one in outcomes]).astype(float)
    value, chance = _quality(policy.walks, outcomes)
    worth = _estimate.effective(value, chance)
    why = _lacking(policy.walks, outcomes, worth)
    quality, kept = (None, None) if why else _told(policy.walks, outcomes, covariates, large, confidence)
    answered = [walk.answered for walk in policy.walks]
    return Replayed(
        policy=policy.name, large=large, status="insufficient_data" if why else "ok", why=why, rows=len(outcomes),
        seen=int(np.sum(~np.isnan(value))), effective=round(worth, 1), quality=quality, kept=kept,
        cost=_spent(policy, outcomes, covariates, confidence), share=answered.count(large) / len(answered),
        nobody=answered.count(None) / len(answered), left_out=policy.left_out,
    )  # fmt: skip


def _quality(walks: Sequence[Walked], outcomes: Sequence[Outcome]) -> tuple[Values, Values]:
    """What each request would have been worth, NaN where it was not seen, and the chance that it was to be seen."""
    value = [_worth(walk, one) for walk, one in zip(walks, outcomes, strict=True)]
    chance = [one.seen.get(walk.answered or "", 1.0) for walk, one in zip(walks, outcomes, strict=True)]
    return np.array(value), np.array(chance)


def _worth(walk: Walked, outcome: Outcome) -> float:
    return 0.0 if walk.answered is None else outcome.right.get(walk.answered, math.nan)


def _lacking(walks: Sequence[Walked], outcomes: Sequence[Outcome], worth: float) -> str:
    """Why the rows do not tell what this policy keeps; "" where they do."""
    blind = sorted({name for walk in walks for name in walk.blind})
    if blind:
        count = sum(bool(walk.blind) for walk in walks)
        return f"A check reads the answers of {', '.join(blind)}, which {count} rows do not have (`answers`)."
    bare = [
        walk.answered for walk, one in zip(walks, outcomes, strict=True)
        if walk.answered and walk.answered not in one.right and walk.answered not in one.seen
    ]  # fmt: skip
    if bare:
        which = ", ".join(sorted(set(bare)))
        return (
            f"{len(bare)} rows lack the outcome of {which} and do not say with what chance it was to be there (`seen`)."
        )
    if len(outcomes) < FEW:
        return f"{len(outcomes)} rows are too few: {FEW} at least."
    if worth < _estimate.LEAST:
        return f"The outcomes that were seen are worth {worth:.0f} rows: {_estimate.LEAST:.0f} at least."
    return ""


def _told(
    walks: Sequence[Walked], outcomes: Sequence[Outcome], covariates: Values, large: str, confidence: float
) -> tuple[Interval, Interval | None]:
    value, chance = _quality(walks, outcomes)
    parts, worth = _estimate.influence(value, chance, covariates), _estimate.effective(value, chance)
    alike = all(walk.answered == large for walk in walks)  # no row can differ
    quality = _estimate.share(parts, confidence, worth)
    always = (Walked(answered=large, called=(large,)),) * len(outcomes)
    base, seen = _quality(always, outcomes)
    if _lacking(always, outcomes, known := _estimate.effective(base, seen)):
        return quality, None
    against = _estimate.influence(base, seen, covariates)
    return quality, _estimate.ratio(parts, against, confidence, math.inf if alike else min(worth, known))


def _spent(policy: Policy, outcomes: Sequence[Outcome], covariates: Values, confidence: float) -> Interval | None:
    """USD a request; None where a cost is unknown that was not left out by chance, as outcomes are."""
    value = np.array([_cost(walk, one, policy.prices) for walk, one in zip(policy.walks, outcomes, strict=True)])
    chance = np.array([_chance(walk, one) for walk, one in zip(policy.walks, outcomes, strict=True)])
    if len(value) < 2:
        return None
    if not np.isnan(value).any():
        return _estimate.interval(value, confidence)
    there = np.array([
        all(name in one.right for name in walk.called) for walk, one in zip(policy.walks, outcomes, strict=True)
    ])  # fmt: skip
    if np.isnan(chance).any() or np.any(np.isnan(value) & (there | (chance == 1))):
        return None
    value = np.where(there, value, np.nan)  # a cost that is there without its outcome is there by another chance
    if _estimate.effective(value, chance) < _estimate.LEAST:
        return None
    return _estimate.interval(_estimate.influence(value, chance, covariates), confidence)


def _cost(walk: Walked, outcome: Outcome, prices: Prices) -> float:
    """USD of all calls: by the policy's price where the tokens were recorded, else as it was recorded."""
    return sum((_call(name, outcome, prices) for name in walk.called), 0.0)


def _call(name: str, outcome: Outcome, prices: Prices) -> float:
    if (tokens := outcome.tokens.get(name)) and (price := prices.get(name)):
        nano = money.cost(Usage(prompt=tokens[0], completion=tokens[1]), price)
        return math.nan if nano is None else nano / money.NANO
    return outcome.cost.get(name, math.nan)


def _chance(walk: Walked, outcome: Outcome) -> float:
    """That all calls' costs were to be seen; NaN where two are by chance: how these go together is unknown."""
    chances = [chance for name in walk.called if (chance := outcome.seen.get(name, 1.0)) < 1]
    return math.nan if len(chances) > 1 else chances[0] if chances else 1.0
