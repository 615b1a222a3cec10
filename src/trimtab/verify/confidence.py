"""Lets an answer stand where its calibrated confidence reaches the threshold of the model that gave it."""

import msgspec

from trimtab.errors import ConfigError
from trimtab.ports import Tools
from trimtab.types import Answer, Evidence, ModelSpec, Request, Verdict


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Thresholds are probabilities in [0, 1]: `threshold` for every rung, `models` by name.

    `trust` names the models whose answers stand without a score. All others must be sure: an answer of a small model
    that nobody judged climbs on, and in the end waits for a person.
    """

    threshold: float = 0.8
    models: dict[str, float] = {}
    trust: tuple[str, ...] = ("large",)


def build(options: Options, tools: Tools) -> "Confidence":
    """Raises `ConfigError` for a threshold outside [0, 1]."""
    for name, value in {"threshold": options.threshold, **options.models}.items():
        if not 0 <= value <= 1:
            raise ConfigError(f"verify {tools.name!r}: {name} = {value} is no probability.", "Give one from 0 to 1.")
    return Confidence(tools.name, options)


class Confidence:
    """The verifier: free, and without a look at the text."""

    def __init__(self, name: str, options: Options) -> None:
        self._name, self._options = name, options

    def applies(self, request: Request, spec: ModelSpec) -> bool:
        """To all but trusted models, the cache (judged when it was filled), and a model that the client chose."""
        if spec.name in self._options.models:
            return True
        if spec.name in self._options.trust or "cache" in spec.abilities:
            return False
        return request.wishes.model == "auto"

    async def verify(self, request: Request, evidence: Evidence, answer: Answer) -> Verdict:
        """Not ok `low_confidence` below the threshold, `not_judged` where the answer carries no confidence."""
        score, least = answer.confidence, self._options.models.get(answer.model, self._options.threshold)
        if score is None:
            why = f"{answer.model} gave no confidence, and it is not among the models to trust without one."
            return Verdict(ok=False, by=self._name, code="not_judged", why=why)
        if score >= least:
            return Verdict(ok=True, by=self._name, why=f"Confidence {score:.3f} reaches {least:.3f}.", score=score)
        why = f"{answer.model} is sure to {score:.3f} and must be to {least:.3f}."
        return Verdict(ok=False, by=self._name, code="low_confidence", why=why, score=score)
