"""Policies on the shadow audits of a contract: both models' answers are known there, and the scores that were given."""

from collections.abc import Sequence
from typing import Any

import msgspec

from trimtab import money
from trimtab import settings as recipes
from trimtab.errors import ConfigError
from trimtab.evaluate._walk import Walked
from trimtab.evaluate.replay import ALWAYS, Policy
from trimtab.grade import marks
from trimtab.odds.outcomes import Outcome
from trimtab.settings import Contract, Settings
from trimtab.types import Price

THRESHOLD = "threshold:"


def outcomes(kept: Sequence[Any], contract: Contract) -> tuple[Outcome, ...]:
    """Audits (rows of `tables.shadows`, as `_audited.sample` chose them) as recorded outcomes."""
    return tuple(_outcome(one, contract) for one in kept)


def policy(name: str, kept: Sequence[Any], contract: Contract) -> Policy:
    """`always:MODEL`, `threshold:P` for the contract's small model, or a recipe, whose threshold and prices are tried.

    Raises `ConfigError` for a policy that says nothing of the two models.
    """
    if name.startswith(ALWAYS):
        return _always(name, len(kept), contract)
    threshold, prices = (_share(name), {}) if name.startswith(THRESHOLD) else _of(recipes.load(name), contract)
    stays = Walked(answered=contract.small, called=(contract.small,))
    climbs = Walked(answered=contract.large, called=(contract.small, contract.large))
    return Policy(name=name, walks=tuple(stays if one.score >= threshold else climbs for one in kept), prices=prices)


def _always(name: str, rows: int, contract: Contract) -> Policy:
    model = name.removeprefix(ALWAYS)
    if model not in (contract.small, contract.large):
        raise ConfigError(
            f"The audits have no outcome of {model!r}.", f"They have: {contract.small}, {contract.large}."
        )
    return Policy(name=name, walks=(Walked(answered=model, called=(model,)),) * rows, prices={})


def _share(name: str) -> float:
    try:
        found = float(name.removeprefix(THRESHOLD))
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise ConfigError(f"{name!r} is no threshold.", "Write threshold:P with a P from 0 to 1.")
    return found


def _of(loaded: Settings, contract: Contract) -> tuple[float, dict[str, Price | None]]:
    """The threshold of a recipe's verifier for the small model, and the prices of its models."""
    options = next((part.options for part in loaded.verifiers if part.kind == "confidence"), None)
    if options is None:
        raise ConfigError(
            f"{loaded.name} has no verifier of the kind confidence.", "Give threshold:P, or always:MODEL."
        )
    known = {part.name for part in loaded.models} | {
        name for one in loaded.contracts for name in (one.small, one.large)
    }
    if lost := sorted({contract.small, contract.large} - known):
        raise ConfigError(f"{loaded.name} has no model {', '.join(lost)}.", "Name a recipe with the contract's models.")
    threshold = options.get("models", {}).get(contract.small, options.get("threshold", 0.8))
    return float(threshold), {part.name: part.price for part in loaded.models}


def _outcome(row: Any, contract: Contract) -> Outcome:
    told = marks(row.how, row.small, row.large)
    assert told  # noqa: S101 - of a sample
    costs = {contract.small: row.small_nano, contract.large: row.large_nano}
    return Outcome(
        question=row.trace_id, right=dict(zip((contract.small, contract.large), told, strict=True)),
        cost={name: nano / money.NANO for name, nano in costs.items() if nano is not None},
        tokens={name: (prompt, completion) for name, (prompt, completion) in msgspec.json.decode(row.tokens).items()},
    )  # fmt: skip
