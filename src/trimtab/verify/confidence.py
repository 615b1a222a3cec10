"""Lets an answer stand where its calibrated confidence reaches the threshold of the model that gave it."""

import asyncio
from typing import TYPE_CHECKING

import msgspec

from trimtab import texts
from trimtab.errors import ConfigError
from trimtab.ports import Tools
from trimtab.types import Answer, Evidence, ModelSpec, Request, Verdict

if TYPE_CHECKING:
    from trimtab.odds.fitted import Odds


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Thresholds are probabilities in [0, 1]: `threshold` for every rung, `models` by name.

    `trust` names the models whose answers stand without a score. All others must be sure: an answer of a small model
    that nobody judged climbs on, and in the end waits for a person. `odds` is the folder that `trimtab route train`
    wrote: P(right) of an answer that carries no confidence is then found from its text and the question.
    """

    threshold: float = 0.8
    models: dict[str, float] = {}
    trust: tuple[str, ...] = ("large",)
    odds: str | None = None


def build(options: Options, tools: Tools) -> "Confidence":
    """Raises `ConfigError` for a threshold outside [0, 1]."""
    for name, value in {"threshold": options.threshold, **options.models}.items():
        if not 0 <= value <= 1:
            raise ConfigError(f"verify {tools.name!r}: {name} = {value} is no probability.", "Give one from 0 to 1.")
    confidence = Confidence(options, tools)
    if options.odds:
        tools.starting(confidence.start)
    return confidence


class Confidence:
    """The verifier: free; it looks at the text only where it has odds."""

    def __init__(self, options: Options, tools: Tools) -> None:
        self._name, self._options, self._tools = tools.name, options, tools
        self._odds: Odds | None = None

    async def start(self) -> None:
        """Load and check the odds, off the event loop. Raises `ConfigError`."""
        from trimtab.odds.fitted import Odds

        assert self._options.odds  # noqa: S101 - asked for only where it is set
        self._odds = await asyncio.to_thread(Odds.load, self._tools.recipe / self._options.odds)

    def applies(self, request: Request, spec: ModelSpec) -> bool:
        """To all but trusted models, the cache (judged when it was filled), and a model that the client chose."""
        if spec.name in self._options.models:
            return True
        if spec.name in self._options.trust or "cache" in spec.abilities:
            return False
        return request.wishes.model == "auto"

    async def verify(self, request: Request, evidence: Evidence, answer: Answer) -> Verdict:
        """Not ok `low_confidence` below the threshold, `not_judged` where the answer carries no confidence."""
        score = answer.confidence if answer.confidence is not None else await self._judged(request, answer)
        least = self._options.models.get(answer.model, self._options.threshold)
        if score is None:
            why = f"{answer.model} gave no confidence, and it is not among the models to trust without one."
            return Verdict(ok=False, by=self._name, code="not_judged", why=why)
        if score >= least:
            return Verdict(ok=True, by=self._name, why=f"Confidence {score:.3f} reaches {least:.3f}.", score=score)
        why = f"{answer.model} is sure to {score:.3f} and must be to {least:.3f}."
        return Verdict(ok=False, by=self._name, code="low_confidence", why=why, score=score)

    async def _judged(self, request: Request, answer: Answer) -> float | None:
        """P(right) from the question and the answer's text; None without odds of that model, or for a tool call."""
        if self._options.odds and self._odds is None:
            await self.start()
        side = self._odds.answered.get(answer.model) if self._odds else None
        question = texts.question(request)
        if side is None or answer.text is None or answer.tool_calls or not question.strip():
            return None
        from trimtab.odds.fitted import seen

        row = seen((await self._tools.encoder().embed([question]))[0], question, answer.text)
        return float(side.chance(row[None])[0])
