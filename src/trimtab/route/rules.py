"""The router by rules: who cannot or may not answer is left out with a reason, the rest is the ladder.

The ladder keeps the order of the settings, in which models of known price are put by price. The client may pin a
model by its name.
"""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from difflib import get_close_matches
from typing import Literal, TypeAlias

import msgspec

from trimtab import texts
from trimtab.errors import ConfigError, NotFoundError, RequestError
from trimtab.escalate import kept_from
from trimtab.ports import Tools
from trimtab.route._signals import NAMES, signals
from trimtab.types import Decision, Impact, Json, ModelSpec, Request

ANSWER_TOKENS = 256
"""Completion tokens reckoned with when models are put in order of price."""
CHAT = frozenset({
    "tools", "tool_choice", "functions", "function_call", "response_format", "n", "stop", "logprobs", "top_logprobs",
    "logit_bias", "modalities", "audio", "prediction", "web_search_options", "reasoning",
})  # fmt: skip
"""Parameters that ask for what only a chat model does. One that nobody knows is no wish that a plain answer breaks."""
FORM = re.compile(
    r"\b(?:json|ya?ml|xml|csv|html|latex|markdown|bullets?|tables?|haiku|poems?|rhym\w+|emojis?|pirate|shakespear\w*|"
    r"upper ?case|lower ?case|capitals|(?:one|a single|\d+|two|three) (?:words?|sentences?|characters?)|translat\w+|"
    r"language|french|german|spanish|italian|portuguese|dutch|polish|russian|chinese|japanese|korean|arabic|hindi|thai|"
    r"vietnamese|turkish|hexadecimal|base ?64|no more than|at most|exactly|format(?:ted)?|step by step|role-?play|"
    r"pretend|act as|persona)\b",
    re.IGNORECASE,
)
"""What in a system message asks for a form or a language that rungs with fixed words cannot give."""
ALONE = 3
"""Words of the shortest question that stands alone."""
LEANS = re.compile(
    r"^(?:and|but|so|or|also|then|no|yes|ok|okay|why|(?:what|how) about)\b|"
    r"\b(?:it|its|that|this|those|these|they|them|their|he|she|him|her|his|one|ones|same|instead|else|again|above|"
    r"former|latter|previous|other|another|more|too)\b(?!'s been)",
    re.IGNORECASE,
)
"""What makes a question lean on the turns before it; careful to a fault: a doubtful one goes to a chat model."""

Value: TypeAlias = str | int | float | bool


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Policy on signals: where every condition of `when` holds, what follows, under the reason `code`.

    A condition is a value (`wants_json = true`), a list of values, or a comparison (`tokens = ">= 2000"`). `allow`
    leaves only those models, `deny` takes these away, `local` keeps the request inside, `impact` marks it.
    """

    code: str
    when: dict[str, Value | list[Value]]
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    local: bool = False
    impact: Impact | None = None


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`large` and `small` name the models that clients mean by these words.

    `aside` are models that are no rung: verifiers ask them, and clients by their name.
    `follow_ups` says which last question of a conversation rungs for plain questions may see: none, one that stands
    `alone` (no word in it leans on the turns before), or `all`. `impact` marks requests high whose words ask for what
    cannot be undone.
    """

    large: str | None = None
    small: str | None = None
    rules: tuple[Rule, ...] = ()
    aside: tuple[str, ...] = ()
    follow_ups: Literal["none", "alone", "all"] = "alone"
    impact: bool = True


Test: TypeAlias = Callable[[dict[str, Value]], bool]


def build(options: Options, tools: Tools) -> "Rules":  # noqa: ARG001 - every kind is built alike
    """Raises `ConfigError` for a rule on a signal that does not exist or with a comparison that cannot be read."""
    return Rules(options)


class Rules:
    """The router; stateless but for its compiled rules and the models they were checked against."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._rules = tuple((rule, _tests(rule)) for rule in options.rules)
        self._checked: Mapping[str, ModelSpec] | None = None

    async def route(self, request: Request, models: Mapping[str, ModelSpec]) -> Decision:
        """The ladder. Raises `NotFoundError` for a model nobody has, `RequestError` for a
        pinned one that may not take this request, `ConfigError` for a rule that names one."""
        self._check_names(models)
        found = signals(request)
        facts = {signal.name: signal.value for signal in found}
        matched = [rule for rule, tests in self._rules if all(test(facts) for test in tests)]
        pinned = self._pinned(request.wishes.model, models)
        left_out: dict[str, str] = {}
        for name, spec in models.items():
            aside = "aside" if name in self._options.aside and name != pinned else ""
            if why := _pin(name, pinned) or aside or self._unable(request, facts, spec) or _barred(name, spec, matched):
                left_out[name] = why
        if pinned and (why := left_out.get(pinned)):
            raise _unfit(pinned, why)
        ladder = _by_price({name: spec for name, spec in models.items() if name not in left_out}, facts)
        impact, reasons = self._impact(facts, matched)
        return Decision(
            ladder=ladder, left_out=left_out, impact=impact, signals=found,
            reasons=("pinned" if pinned else "auto", *(rule.code for rule in matched), *reasons),
        )  # fmt: skip

    def _pinned(self, wish: str, models: Mapping[str, ModelSpec]) -> str | None:
        """The one model that the client asks for, None for `auto`."""
        if wish in models:
            return wish
        if wish == "auto":
            return None
        alias = {"large": self._options.large, "small": self._options.small}.get(wish)
        if alias in models:
            return alias
        raise _not_found(wish, alias, models)

    def _check_names(self, models: Mapping[str, ModelSpec]) -> None:
        """Once for each set of models: a misspelt name in a rule would leave it without effect."""
        if models is self._checked:
            return
        named = [(f"Rule {rule.code!r}", (*rule.allow, *rule.deny)) for rule in self._options.rules]
        for what, names in (*named, ("aside", self._options.aside)):
            if unknown := [name for name in names if name not in models]:
                raise ConfigError(
                    f"{what} names models that do not exist: {', '.join(unknown)}.",
                    f"The models are: {', '.join(models)}.",
                )
        self._checked = models

    def _unable(self, request: Request, facts: dict[str, Value], spec: ModelSpec) -> str:
        if why := kept_from(spec, request.limits):
            return why
        if not request.wishes.cache and "cache" in spec.abilities:
            return "no_cache"
        if spec.context is not None and int(facts["context_tokens"]) > spec.context:
            return "context_too_small"
        return _lacks(facts, spec.abilities) or ("" if "chat" in spec.abilities else self._not_plain(request, facts))

    def _not_plain(self, request: Request, facts: dict[str, Value]) -> str:
        """Why a rung for one plain question cannot take this request."""
        for name, value in request.params.items():
            if name in CHAT and not _unset(name, value):
                return "needs_chat"
        if any(FORM.search(texts.content(message)) for message in request.messages if _of_system(message)):
            return "system_form"
        if facts["turns"] == 1 and _single(request):
            return ""
        return "" if self._may_follow(request) else "follow_up"

    def _may_follow(self, request: Request) -> bool:
        if self._options.follow_ups == "none" or not _asked_last(request):
            return False
        question = texts.question(request)
        return self._options.follow_ups == "all" or not (len(question.split()) < ALONE or LEANS.search(question))

    def _impact(self, facts: dict[str, Value], matched: list[Rule]) -> tuple[Impact, tuple[str, ...]]:
        """A rule's word on impact counts before the word list's; among rules the highest counts."""
        said = {rule.impact for rule in matched if rule.impact}
        if said:
            return (Impact.HIGH if Impact.HIGH in said else Impact.LOW), ()
        if self._options.impact and facts["impact"]:
            return Impact.HIGH, (f"impact_{facts['impact']}",)
        return Impact.LOW, ()


def _lacks(facts: dict[str, Value], abilities: frozenset[str]) -> str:
    if facts["wants_tools"] and "tools" not in abilities:
        return "needs_tools"
    if facts["wants_json"] and "json" not in abilities:
        return "needs_json"
    return "needs_vision" if facts["has_images"] and "vision" not in abilities else ""


def _unfit(pinned: str, why: str) -> RequestError:
    return RequestError(
        f"The model {pinned!r} may not take this request ({why}).",
        'Ask for model "auto", which chooses one that may, or leave out what it cannot do.',
        param="model", code="model_unfit",
    )  # fmt: skip


def _pin(name: str, pinned: str | None) -> str:
    return "pinned" if pinned not in (None, name) else ""


def _barred(name: str, spec: ModelSpec, matched: list[Rule]) -> str:
    for rule in matched:
        if name in rule.deny or (rule.allow and name not in rule.allow) or (rule.local and spec.where != "local"):
            return rule.code
    return ""


def _unset(name: str, value: object) -> bool:
    """Whether a parameter is there without asking for anything."""
    plain = {"n": 1, "response_format": {"type": "text"}, "tool_choice": "none"}
    return value is None or value is False or value == [] or (name in plain and value == plain[name])


def _of_system(message: Json) -> bool:
    return message.get("role") in ("system", "developer")


def _single(request: Request) -> bool:
    """One user message, with at most system messages before it."""
    *before, last = request.messages
    return last.get("role") == "user" and all(_of_system(message) for message in before)


def _asked_last(request: Request) -> bool:
    return bool(request.messages) and request.messages[-1].get("role") == "user"


def _by_price(models: dict[str, ModelSpec], facts: dict[str, Value]) -> tuple[str, ...]:
    """Models of known price by price, stable, in the places that they have in the settings; the others stay."""
    if len(models) < 2:
        return tuple(models)
    tokens = int(facts["context_tokens"])
    known = sorted((name for name, spec in models.items() if spec.price), key=lambda name: _price(models[name], tokens))
    ordered = iter(known)
    return tuple(next(ordered) if spec.price else name for name, spec in models.items())


def _price(spec: ModelSpec, tokens: int) -> Decimal:
    return spec.price.input * tokens + spec.price.output * ANSWER_TOKENS if spec.price else Decimal(0)


def _not_found(wish: str, alias: str | None, models: Mapping[str, ModelSpec]) -> NotFoundError:
    if wish in ("large", "small"):
        fix = f'Set TRIMTAB_{wish.upper()}, or add a [[model]] with name = "{wish}"; model "auto" works without one.'
        missing = f", and {alias!r}, which the settings mean by it, is none either" if alias else ""
        return NotFoundError(f"No {wish} model is configured{missing}.", fix, code="model_not_found", param="model")
    near = get_close_matches(wish[:100], models, 3, 0.5)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    fix = f"{hint}Ask for auto, or for one of: {', '.join(models)}."
    return NotFoundError(f"There is no model {wish[:100]!r}.", fix, code="model_not_found", param="model")


def _tests(rule: Rule) -> tuple[Test, ...]:
    if unknown := [name for name in rule.when if name not in NAMES]:
        raise ConfigError(
            f"Rule {rule.code!r} is on unknown signals: {', '.join(unknown)}.", f"Signals are: {', '.join(NAMES)}."
        )
    if not rule.when:
        raise ConfigError(f"Rule {rule.code!r} has no condition.", "Give `when` at least one signal.")
    return tuple(_test(rule.code, name, wanted) for name, wanted in rule.when.items())


def _test(code: str, name: str, wanted: Value | list[Value]) -> Test:
    if isinstance(wanted, list):
        return lambda facts: facts[name] in wanted
    if isinstance(wanted, str) and wanted[:1] in "<>!" and wanted:
        return _comparison(code, name, wanted)
    return lambda facts: facts[name] == wanted


def _comparison(code: str, name: str, text: str) -> Test:
    sign = text[:2] if text[1:2] == "=" else text[:1]
    compare = _COMPARE.get(sign)
    try:
        bound = float(text[len(sign) :])
    except ValueError:
        bound = None
    if compare is None or bound is None:
        raise ConfigError(
            f"Rule {code!r}: {name} = {text!r} cannot be read.", 'Write a comparison as ">= 2000", or a plain value.'
        )
    return lambda facts: not isinstance(value := facts[name], str) and compare(value, bound)


_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": lambda value, bound: value > bound, ">=": lambda value, bound: value >= bound,
    "<": lambda value, bound: value < bound, "<=": lambda value, bound: value <= bound,
    "!=": lambda value, bound: value != bound,
}  # fmt: skip
