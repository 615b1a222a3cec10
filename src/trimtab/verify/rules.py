"""Holds answers to the user's own rules: declarative checks of JSON and text, and Python functions of the recipe.

Functions are the operator's code and run with the operator's rights; what they look at is a model's.
"""

import inspect
import logging
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Literal, cast

import msgspec

from trimtab import load, texts
from trimtab.calls import Calls
from trimtab.errors import ConfigError
from trimtab.ports import Tools
from trimtab.types import OK, Answer, Evidence, Json, ModelSpec, Request, Verdict
from trimtab.verify._checks import Check, Document, faults, sound
from trimtab.verify._paths import MISSING

LOG = logging.getLogger("trimtab.verify")
LARGEST = 1_000_000
"""Characters of the largest answer that is checked."""
THREADS = 8
GIVEN = ("text", "value", "question", "answer", "request", "evidence")
"""What a function may ask for by the names of its parameters."""
_decode = msgspec.json.Decoder(float_hook=Decimal).decode


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`checks` are tables (see `_checks.Check`), `functions` the user's: `checks.py:name` or `package.module:name`.

    A function is given what its parameters name (`text`, `value`: the decoded JSON, numbers with a point as Decimal,
    `question`, `answer`, `request`, `evidence`) and returns True, False, or why not as a text; it has `seconds`. One
    that raises, hangs or returns anything else is an error of that item: a no where `fail` is `closed`.
    `models` are the rungs that are checked; empty means all but the cache, which was checked when it was filled.
    """

    checks: tuple[Check, ...] = ()
    functions: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    seconds: float = 5.0
    fail: Literal["closed", "open"] = "closed"


def build(options: Options, tools: Tools) -> "Rules":
    """Raises `ConfigError` for a check or a function that is none."""
    for i, check in enumerate(options.checks):
        try:
            sound(check)
        except ValueError as error:
            raise ConfigError(f"verify {tools.name!r}: checks[{i}] ({check.label}): {error}.", "Mend it.") from error
    if not options.seconds > 0:
        raise ConfigError(f"verify {tools.name!r}: seconds = {options.seconds}.", "Give a function more than 0.")
    functions = {named: load.function(named, tools.recipe) for named in options.functions}
    return Rules(options, tools.name, {named: (found, _wants(named, found)) for named, found in functions.items()})


def _wants(named: str, function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of its parameters. Raises `ConfigError` for one that nobody gives."""
    wanted = tuple(inspect.signature(function).parameters.values())
    unknown = [one.name for one in wanted if one.name not in GIVEN and one.default is one.empty]
    if unknown:
        raise ConfigError(f"{named} asks for {', '.join(unknown)}.", f"It may ask for: {', '.join(GIVEN)}.")
    return tuple(one.name for one in wanted if one.name in GIVEN)


class Rules:
    """The verifier."""

    def __init__(
        self, options: Options, name: str, functions: dict[str, tuple[Callable[..., Any], tuple[str, ...]]]
    ) -> None:
        self._options, self._name, self._functions = options, name, functions
        self._calls = Calls(THREADS, options.seconds)

    def applies(self, request: Request, spec: ModelSpec) -> bool:
        if self._options.models:
            return spec.name in self._options.models
        return "cache" not in spec.abilities

    async def verify(self, request: Request, evidence: Evidence, answer: Answer) -> Verdict:
        """Not ok: `rule_broken` with what and where, `rule_crashed` for a function that failed, `answer_too_large`."""
        if sum(len(text.text) for text in texts.of_answer(answer)) > LARGEST:
            return self._no("answer_too_large", f"The answer has more than {LARGEST:,} characters.")
        said = list(_said(answer))
        if why := next(self._broken(answer, said), None):
            return self._no("rule_broken", why)
        for document in said:
            given = {
                "text": document.text, "value": None if document.value is MISSING else document.value,
                "question": texts.question(request), "answer": answer, "request": request, "evidence": evidence,
            }  # fmt: skip
            for named, (function, wants) in self._functions.items():
                verdict = await self._asked(named, function, {name: given[name] for name in wants})
                if not verdict.ok:
                    return verdict
        return Verdict(ok=True, by=self._name)

    def _broken(self, answer: Answer, said: list[Document]) -> Iterator[str]:
        for check in self._options.checks:
            for document in _arguments(answer, check.tool) if check.tool else said:
                yield from (f"{check.name}: {why}" if check.name else why for why in faults(check, document))

    async def _asked(self, named: str, function: Callable[..., Any], given: Json) -> Verdict:
        try:
            said = await self._calls.call(function, **given)
            if not isinstance(said, bool | str):
                raise TypeError(f"it returned {type(said).__name__}, neither True nor False nor a text")
        except Exception as error:
            LOG.warning("the rule %s failed", named, exc_info=error)
            why = f"{named} failed ({type(error).__name__}); the log says more."
            return OK if self._options.fail == "open" else self._no("rule_crashed", why)
        if said is True or said == "":
            return OK
        return self._no("rule_broken", f"{named}: {said[:300]}" if said else f"{named} says no.")

    def _no(self, code: str, why: str) -> Verdict:
        return Verdict(ok=False, by=self._name, code=code, why=why)


def _said(answer: Answer) -> Iterator[Document]:
    """Each choice's text; a call of tools without a word says nothing that a rule on texts could be about."""
    further: list[Any] = [(choice.get("message") or {}).get("content") for choice in answer.choices]
    for text in (answer.text, *further):
        if isinstance(text, str) and (text or not answer.tool_calls):
            yield Document(text, _value(text))


def _arguments(answer: Answer, tool: str) -> Iterator[Document]:
    further = [call for choice in answer.choices for call in (choice.get("message") or {}).get("tool_calls") or ()]
    for call in (*answer.tool_calls, *further):
        body = call.get("function")
        if isinstance(body, dict) and cast("Json", body).get("name") == tool:
            text = str(cast("Json", body).get("arguments") or "{}")
            yield Document(text, _value(text))


def _value(text: str) -> Any:
    try:
        return _decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError, ArithmeticError):
        return MISSING
