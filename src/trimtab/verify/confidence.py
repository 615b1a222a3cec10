"""Lets an answer stand where its calibrated confidence reaches the threshold of the model that gave it.

In the band around the threshold, where another cheap opinion is worth its price, it asks for one: see `odds.opinion`.
"""

from typing import TYPE_CHECKING, Annotated

import msgspec

from trimtab import asking, texts
from trimtab.errors import ConfigError
from trimtab.ports import Tools
from trimtab.types import Answer, Evidence, ModelSpec, Request, Verdict
from trimtab.verify._sample import sample

if TYPE_CHECKING:
    from trimtab.odds.reader import Reader
    from trimtab.verify._weighed import Score

UNASKED = Verdict(ok=False, code="not_asked", why="There is nobody to ask.")


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Thresholds are probabilities in [0, 1]: `threshold` for every rung, `models` by name.

    `trust` names the models whose answers stand without a score. All others must be sure: an answer of a small model
    that nobody judged climbs on, and in the end waits for a person. `odds` is the folder that `trimtab route train`
    wrote: an answer that carries no confidence is then judged by its text and the question. `opinions` are the models
    of which a second and third answer may be asked, in the order in which the odds were trained with them (`small#2` is
    another sample of `small`, at `temperature`), of at most `tokens`: where one is worth its price `around` a
    threshold, which is the model's own if none is given. Give it where the threshold is to move and the band is not.
    """

    threshold: float = 0.8
    models: dict[str, float] = {}
    trust: tuple[str, ...] = ("large",)
    odds: str | None = None
    opinions: tuple[str, ...] = ()
    around: float | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0)] = 0.7
    tokens: Annotated[int, msgspec.Meta(ge=1)] = 1024


def build(options: Options, tools: Tools) -> "Confidence":
    """Raises `ConfigError` for a threshold outside [0, 1], and for opinions that no odds weigh."""
    given = {"threshold": options.threshold, **options.models}
    for name, value in (given if options.around is None else given | {"around": options.around}).items():
        if not 0 <= value <= 1:
            raise ConfigError(f"verify {tools.name!r}: {name} = {value} is no probability.", "Give one from 0 to 1.")
    if options.opinions and not options.odds:
        raise ConfigError(f"verify {tools.name!r}: opinions without odds.", "Give the folder of `trimtab route train`.")
    confidence = Confidence(options, tools)
    if options.odds:
        tools.starting(confidence.start)
    return confidence


class Confidence:
    """The verifier: it looks at the text only where it has odds, and pays only for opinions."""

    def __init__(self, options: Options, tools: Tools) -> None:
        self._name, self._options, self._ask, self._thresholds = tools.name, options, tools.ask, tools.thresholds
        self._odds: Reader | None = tools.odds(tools.recipe / options.odds) if options.odds and tools.odds else None

    async def start(self) -> None:
        """Load and check the odds. Raises `ConfigError`, for opinions too with which no odds were trained."""
        from trimtab.odds.fitted import chain

        assert self._odds  # noqa: S101 - asked for only where there are odds
        odds = await self._odds.odds()
        given = self._options.opinions
        if given and not any(key.opinions and key.opinions == chain(key.model, given) for key in odds.sides):
            raise ConfigError(
                f"verify {self._name!r}: the odds do not weigh the opinions {', '.join(given)}, in this order.",
                "Train them: trimtab route train OUTCOMES " + " ".join(f"--opinion {name}" for name in given),
            )

    def applies(self, request: Request, spec: ModelSpec) -> bool:
        """To all but trusted models, the cache (judged when it was filled), and a model that the client chose."""
        if spec.name in self._options.models:
            return True
        if spec.name in self._options.trust or "cache" in spec.abilities:
            return False
        return request.wishes.model == "auto"

    async def verify(self, request: Request, evidence: Evidence, answer: Answer) -> Verdict:
        """Not ok `low_confidence` below the threshold, `not_judged` where the answer carries no confidence."""
        found = None if answer.confidence is not None else await self._judged(request, evidence, answer)
        score, least = found.value if found else answer.confidence, self._least(answer)
        if score is None:
            why = f"{answer.model} gave no confidence, and it is not among the models to trust without one."
            return Verdict(ok=False, by=self._name, code="not_judged", why=why)
        if self._thresholds:
            least = self._thresholds.now(request, answer.model, score, least)
        told = f" {found.why}" if found and found.why else ""
        if score >= least:
            why = f"Confidence {score:.3f} reaches {least:.3f}.{told}"
            return Verdict(ok=True, by=self._name, why=why, score=score)
        why = f"{answer.model} is sure to {score:.3f} and must be to {least:.3f}.{told}"
        return Verdict(ok=False, by=self._name, code="low_confidence", why=why, score=score)

    async def _judged(self, request: Request, evidence: Evidence, answer: Answer) -> "Score | None":
        """From question, text and opinions; None without odds of that model, or for a tool call."""
        question = texts.question(request)
        if self._odds is None or answer.text is None or answer.tool_calls or not question.strip():
            return None
        odds, above, given = await self._odds.odds(), asking.above(answer.model, self._options.opinions), self._options
        key = odds.key(answer.model, above.name if above else "", said=True)
        if key not in odds.sides:
            return None

        async def ask(model: str, number: int) -> Answer | Verdict:
            temperature = given.temperature if model == answer.model else None
            asked = sample(request, number, temperature, given.tokens)
            return await self._ask(model, asked, evidence, self._name) if self._ask else UNASKED

        from trimtab.verify._weighed import weighed

        around = self._least(answer) if given.around is None else given.around
        query = await self._odds.query(question)
        return await weighed(odds, key, question, query, answer, given.opinions, around, ask)

    def _least(self, answer: Answer) -> float:
        return self._options.models.get(answer.model, self._options.threshold)
