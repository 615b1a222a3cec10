"""The router that has seen outcomes: the rules, less the models that are unlikely to be right or not worth a try.

A model without recorded outcomes is treated as the rules do, and the decision says so (`no_outcomes`).
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

import msgspec

from trimtab import texts
from trimtab.errors import ConfigError
from trimtab.money import cost, estimate
from trimtab.odds.worth import worth
from trimtab.ports import Tools
from trimtab.route import rules
from trimtab.route._draw import PROPENSITY, fraction
from trimtab.types import Decision, ModelSpec, Request, Signal, Usage

if TYPE_CHECKING:
    from trimtab.odds.reader import Reader


class Options(rules.Options, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of `rules`, and `odds`: the folder that `trimtab route train` wrote (none: rules alone decide).

    `least` is the chance of doing no worse than the next one under which a model is skipped. Of the requests
    in which one would be skipped, the share `explore` tries it all the same, so that the odds do not go blind where
    they once were low; the decision then has the signal `propensity`, the chance of the ladder that was taken.
    """

    odds: str | None = None
    least: float = 0.3
    explore: Annotated[float, msgspec.Meta(ge=0, le=0.05)] = 0.0


def build(options: Options, tools: Tools) -> "Learned":
    """Raises `ConfigError` for a `least` that is no probability, or for rules that cannot be read."""
    if not 0 <= options.least <= 1:
        raise ConfigError(f"least = {options.least} is no probability.", "Give one from 0 to 1.")
    learned = Learned(options, tools)
    if options.odds:
        tools.starting(learned.start)
    return learned


class Learned:
    """The router; one pass of the encoder for a request that more than one fitted model may answer."""

    def __init__(self, options: Options, tools: Tools) -> None:
        self._options = options
        self._rules = rules.Rules(options)
        self._odds: Reader | None = tools.odds(tools.recipe / options.odds) if options.odds and tools.odds else None

    async def start(self) -> None:
        """Load and check the odds. Raises `ConfigError`."""
        assert self._odds  # noqa: S101 - asked for only where there are odds
        await self._odds.odds()

    async def route(self, request: Request, models: Mapping[str, ModelSpec]) -> Decision:
        """The rules' ladder less what is not worth trying; its last rung always stays. Raises as `rules` does."""
        decision = await self._rules.route(request, models)
        if self._odds is None or "pinned" in decision.reasons or len(decision.ladder) < 2:
            return self._said(decision, ("no_outcomes",) if self._odds is None else ())
        chances = await self._chances(texts.question(request), decision.ladder)
        skipped, reasons = self._skipped(request, decision, models, chances)
        skipped, explored = self._explored(request, skipped)
        kept = tuple(name for name in decision.ladder if name not in skipped)
        signals = tuple(Signal(name=f"p_stays:{name}", value=round(chance, 4)) for name, chance in chances.items())
        return msgspec.structs.replace(
            decision, ladder=kept, left_out={**decision.left_out, **skipped},
            signals=(*decision.signals, *signals, *explored), reasons=(*decision.reasons, "learned", *reasons),
        )  # fmt: skip

    def _explored(self, request: Request, skipped: dict[str, str]) -> tuple[dict[str, str], tuple[Signal, ...]]:
        """What is skipped in the end, and the chance of that; drawn by the request's id."""
        share = self._options.explore
        if not share:
            return skipped, ()
        tried = bool(skipped) and fraction(f"explore:{request.id}") < share
        chance = 1.0 if not skipped else share if tried else 1 - share
        return ({} if tried else skipped), (Signal(name=PROPENSITY, value=chance),)

    def _said(self, decision: Decision, reasons: tuple[str, ...]) -> Decision:
        return msgspec.structs.replace(decision, reasons=(*decision.reasons, *reasons)) if reasons else decision

    async def _chances(self, question: str, ladder: tuple[str, ...]) -> dict[str, float]:
        """For each model the chance that the rung above would do no better; P(right) where that is not known."""
        assert self._odds  # noqa: S101 - asked for only where there are odds
        odds = await self._odds.odds()
        sides = {name: side for name, above in zip(ladder, (*ladder[1:], ""), strict=True)
                 if (side := odds.side(name, above))}  # fmt: skip
        if not sides or not question.strip():
            return {}
        row = (await self._odds.query(question))[None]
        return {name: float(side.stays(row)[0]) for name, side in sides.items()}

    def _skipped(
        self, request: Request, decision: Decision, models: Mapping[str, ModelSpec], chances: dict[str, float]
    ) -> tuple[dict[str, str], list[str]]:
        """Models to leave out, each with its reason, and what else the decision must say."""
        said: list[str] = []
        skipped: dict[str, str] = {}
        chat = [name for name in decision.ladder if "chat" in models[name].abilities]
        tokens = next((int(signal.value) for signal in decision.signals if signal.name == "context_tokens"), 0)
        usage = Usage(
            prompt=tokens or estimate(texts.question(request)), completion=rules.ANSWER_TOKENS, estimated=True
        )
        for name, after in pairwise(chat):
            if name not in chances:
                said.append("no_outcomes")
                continue
            own, above = cost(usage, models[name].price), cost(usage, models[after].price)
            if own is None or above is None:
                said.append("price_unknown")
            found = worth(chances[name], self._options.least, own, above)
            if found != "try":
                skipped[name] = found
        return skipped, list(dict.fromkeys(said))
