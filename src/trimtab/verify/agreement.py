"""Asks the model that answered a few times more, and lets an answer stand on which most of its samples agree.

Answers are compared by their final answer, their JSON, their calls or their words. It stops as soon as the vote is
settled. Each sample is a call with its cost. A model that is wrong the same way each time agrees with itself.
"""

import asyncio
from typing import Any

import msgspec

from trimtab import texts
from trimtab.errors import ConfigError
from trimtab.ports import Tools
from trimtab.types import Answer, Evidence, ModelSpec, Request, Verdict
from trimtab.verify._sample import sample
from trimtab.verify._votes import Votes, normal


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`models` are the rungs whose answers are sampled: `samples` in all, the answer itself one of them.

    `share` of them must say the same. Where most say something else than the answer, that is given instead, unless
    `replace` is false. Samples are drawn at `temperature`, of at most `tokens`. An answer whose own confidence is not
    below `below` is not sampled.
    """

    models: tuple[str, ...] = ("small",)
    samples: int = 5
    share: float = 0.6
    temperature: float = 0.7
    tokens: int = 1024
    replace: bool = True
    below: float = 1.0


def build(options: Options, tools: Tools) -> "Agreement":
    """Raises `ConfigError` for numbers that cannot be."""
    if not (2 <= options.samples <= 64 and 0 < options.share <= 1):
        raise ConfigError(
            f"verify {tools.name!r}: no vote can be held.", "Give samples of 2 to 64, share above 0 to 1."
        )
    if options.tokens < 1 or options.temperature < 0:
        raise ConfigError(f"verify {tools.name!r}: tokens or temperature is too low.", "Give 1 or more; 0 or more.")
    return Agreement(options, tools)


class Agreement:
    """The verifier."""

    def __init__(self, options: Options, tools: Tools) -> None:
        self._options, self._name, self._ask = options, tools.name, tools.ask

    def applies(self, request: Request, spec: ModelSpec) -> bool:
        return spec.name in self._options.models

    async def verify(self, request: Request, evidence: Evidence, answer: Answer) -> Verdict:
        """Not ok: `no_agreement`, `outvoted` where most say something else and `replace` is false."""
        if answer.confidence is not None and answer.confidence >= self._options.below:
            return Verdict(ok=True, by=self._name, why=f"Its confidence is {answer.confidence:.3f}: not sampled.")
        question, votes = texts.question(request), Votes(self._options.samples, self._options.share)
        mine = normal(answer, question)
        votes.add(mine)
        others: dict[Any, Answer] = {}
        while votes.open:
            for said in await self._sampled(request, evidence, answer.model, votes):
                key = normal(said, question) if isinstance(said, Answer) else None
                votes.add(key)
                if isinstance(said, Answer):
                    others.setdefault(key, said)
        return self._settled(votes, mine, others)

    async def _sampled(self, request: Request, evidence: Evidence, model: str, votes: Votes) -> list[Answer | Verdict]:
        """As many more as could settle it; one at a time where a limit of cost must be kept."""
        if self._ask is None:
            return [Verdict(ok=False, code="not_asked")] * votes.open
        several = 1 if request.limits.cost is not None else votes.open
        given = self._options
        asked = [sample(request, votes.cast + i, given.temperature, given.tokens) for i in range(several)]
        return list(await asyncio.gather(*(self._ask(model, one, evidence, self._name) for one in asked)))

    def _settled(self, votes: Votes, mine: Any, others: dict[Any, Answer]) -> Verdict:
        why = f"{votes.first} of {votes.cast} samples say the same"
        if votes.winner is None:
            return self._no("no_agreement", f"{why}, and {votes.needed} of {self._options.samples} must.")
        if votes.winner == mine:
            return Verdict(ok=True, by=self._name, why=f"{why} as the answer.")
        if not self._options.replace:
            return self._no("outvoted", f"{why}, and not what the answer says.")
        return Verdict(ok=True, by=self._name, code="outvoted", why=f"{why}: given instead.",
                       answer=others[votes.winner])  # fmt: skip

    def _no(self, code: str, why: str) -> Verdict:
        return Verdict(ok=False, by=self._name, code=code, why=why)
