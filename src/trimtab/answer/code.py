"""The deterministic rung: arithmetic, dates, time zones, units, tables, code and own functions: exactly or not at all.

It takes a question only where every word of it is accounted for and one reading is left; English only.
"""

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from trimtab import texts
from trimtab.answer import _clocks, _dates, _expression, _extract, _facts, _phrases, _units
from trimtab.answer._functions import Functions, exact, told
from trimtab.answer._reading import Reading, Unclear
from trimtab.answer._tables import Table, Tables
from trimtab.calls import Calls
from trimtab.errors import ConfigError
from trimtab.money import estimate
from trimtab.ports import Sink, Tools
from trimtab.types import FREE, Answer, Delta, Evidence, ModelSpec, Request, Usage, Verdict

__all__ = ["Code", "Options", "build", "exact", "spec"]

LONGEST = 300
"""Characters of the longest question that is parsed; all that can be asked in one line here is shorter."""
LONG = 60_000
"""Characters of the longest question that brings a text or code along."""
QUICK = 2_000
"""Characters from which a question is read in a thread."""
THREADS = 8
WISHES = frozenset({
    "tools", "tool_choice", "functions", "function_call", "stop", "logprobs", "top_logprobs", "logit_bias", "audio",
    "modalities",
})  # fmt: skip
"""Parameters that ask for more than a right answer: with one of them set the rung passes."""
_PLAIN = """
you are a an the and very helpful concise friendly polite honest harmless accurate smart kind assistant ai chatbot bot
answer respond reply to questions question user users user's please be always briefly concisely shortly accurately
correctly in english help with math maths mathematics arithmetic tutor for our of at on we support customer customers
service desk agent representative company bank banking shop store school teacher professional
"""
PLAIN = frozenset(_PLAIN.split())
"""Words of a system message that asks for nothing but help: one with any other word may ask for another answer."""
_COURTESY = re.compile(
    r"(?:please|hi|hello|hey|hi there|can you|could you|would you|tell me|calculate for me|i want to know|"
    r"quick question|do you know|i need to know)[,:!]? ",
    re.IGNORECASE,
)
_THANKS = re.compile(r"[,.?]? (?:please|thanks|thank you|for me|thx)$", re.IGNORECASE)
_ASK = re.compile(
    r"(?:what is|what are|how much is|how much are|the (?:result|value) of|the answer to|work out|calculate|compute|"
    r"evaluate|find|solve|what does) "
)
_ENGLISH = re.compile(r"\b(?:plus|minus|times|divided|multiplied|squared|cubed|power|percent|mod|modulo)\b")
_COMPUTE = re.compile(r"(?:calculate|compute|evaluate|work out) ")


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`skills` are the parsers used; `zone` the IANA zone of "today" ("" leaves such questions to others).

    `now` fixes the clock to an ISO 8601 instant with its offset (replays, tests). `system`: `plain` passes where a
    system message may ask for another answer or form, `any` takes the question whatever the system message says.
    `tables` are looked up (see `_tables.Table`); `extract` names patterns (RE2) that may be asked for in a text.
    `functions` is a Python file of the recipe, or an installed module, whose functions under `@exact(...)` answer the
    questions that are their patterns, within `seconds`.
    """

    skills: tuple[Literal["arithmetic", "dates", "clocks", "units", "extraction", "python"], ...] = (
        "arithmetic", "dates", "clocks", "units", "extraction", "python",
    )  # fmt: skip
    zone: str = "UTC"
    now: str = ""
    system: Literal["plain", "any"] = "plain"
    tables: tuple[Table, ...] = ()
    extract: dict[str, str] = {}
    functions: str = ""
    seconds: float = 5.0


def spec(_: Options) -> ModelSpec:
    """In the process, free, one plain question."""
    return ModelSpec(where="local", price=FREE, abilities=frozenset({"question"}))


def build(options: Options, tools: Tools) -> "Code":
    """Raises `ConfigError` for a zone, an instant, a table, a pattern or a function that does not exist."""
    try:
        patterns = _extract.patterns(options.extract)
    except ValueError as error:
        raise ConfigError(f"[[model]] {tools.name}: extract: {error}.", "Write patterns that RE2 reads.") from error
    own = Own(
        tables=Tables(options.tables, tools.recipe), functions=Functions(options.functions, tools.recipe),
        calls=Calls(THREADS, options.seconds), patterns=patterns,
    )  # fmt: skip
    return Code(tools.name, options, _zone(options.zone), _clock(options.now), own)


class Own(msgspec.Struct, frozen=True, kw_only=True):
    """What is the user's: tables, functions, patterns."""

    tables: Tables
    functions: Functions
    calls: Calls
    patterns: dict[str, Any]


class Code:
    """The model; `read` is its pure core."""

    def __init__(
        self, name: str, options: Options, zone: ZoneInfo | None, now: Callable[[], datetime], own: Own
    ) -> None:
        self._name, self._options, self._zone, self._now, self._own = name, options, zone, now, own

    async def answer(self, request: Request, evidence: Evidence, sink: Sink) -> Answer | Verdict:
        """An exact answer, or a pass: `not_plain` for more than one plain question, `not_parsed` for the rest."""
        question = plain_question(request, self._options.system)
        if question is None:
            return self._pass("not_plain", "More than one plain question was asked.")
        quick = len(question) <= QUICK
        readings = self._readings(question) if quick else await asyncio.to_thread(self._readings, question)
        reading = _one([*readings, *await self._looked_up(question)])
        if reading is None:
            return self._pass("not_parsed", "The question has not one exact reading.")
        usage = Usage(prompt=estimate(question), completion=estimate(reading.text), estimated=True)
        if not _fits(usage, request):
            return self._pass("not_plain", "The answer is longer than the request allows.")
        await sink.emit(Delta(text=reading.text))
        return Answer(text=reading.text, model=self._name, usage=usage, confidence=1.0, label=reading.parse)

    def read(self, question: str) -> Reading | None:
        """The one reading of a question without the user's tables and functions; None for none, or two that differ."""
        return _one(self._readings(question))

    def _readings(self, question: str) -> list[Reading]:
        if len(question) > LONG:
            return []
        asked = tidy(question) if len(question) <= LONGEST else ""
        return [reading for skill in self._options.skills if (reading := self._try(skill, asked, question))]

    async def _looked_up(self, question: str) -> list[Reading]:
        """What the user's tables and functions say. Raises what a function raises, which the next rung makes up for."""
        asked = tidy(question) if len(question) <= LONGEST else ""
        if not asked:
            return []
        found: list[Reading] = []
        try:
            if self._options.tables:
                found.append(await asyncio.to_thread(self._own.tables.read, asked))
        except Unclear:
            pass
        try:
            calls = list(self._own.functions.calls(asked))
        except Unclear:
            return []
        for call in calls:
            text = told(await self._own.calls.call(call.function, **call.given))
            found += [Reading(text, f"function: {call.parse}")] if text else []
        return found

    def _try(self, skill: str, asked: str, question: str) -> Reading | None:
        try:
            match skill:
                case "extraction":
                    return _extract.read(question.strip(), self._own.patterns)
                case "python":
                    return _facts.read(question)
                case _ if not asked:
                    return None
                case "arithmetic":
                    return arithmetic(asked)
                case "dates":
                    return _dates.read(asked.lower(), self._today)
                case "clocks":
                    return _clocks.read(asked.lower(), self._now)
                case _:
                    return _units.read(asked)
        except Unclear:
            return None

    def _today(self) -> tuple[date, str]:
        if self._zone is None:
            raise Unclear
        return self._now().astimezone(self._zone).date(), self._zone.key

    def _pass(self, code: str, why: str) -> Verdict:
        return Verdict(ok=False, by=self._name, code=code, why=why)


def _one(readings: list[Reading]) -> Reading | None:
    """The reading that all are; None where there is none, or two differ."""
    return readings[0] if len({reading.text for reading in readings}) == 1 else None


def arithmetic(asked: str) -> Reading:
    """A set phrase or an expression, after its "what is". Raises `Unclear`."""
    text, english, computing = asked.lower(), False, asked.endswith("=")
    text = text.rstrip("= ")
    while match := _ASK.match(text):
        english, computing = True, computing or bool(_COMPUTE.match(text))
        text = text[match.end() :]
    for tail in (" equal to", " equals", " equal"):
        text = text.removesuffix(tail)
    try:
        return _phrases.read(text)
    except Unclear:
        return _expression.read(text, english=english or bool(_ENGLISH.search(text)), computing=computing)


def tidy(question: str) -> str:
    """The question without courtesies and closing marks, its case kept; empty where it has several lines.

    A closing `!` after a digit stays: it may be a factorial.
    """
    text = question.strip()
    if "\n" in text or "\r" in text:
        return ""
    text = re.sub(r"[ \t\u00a0]+", " ", text).replace("’", "'")
    while (match := _COURTESY.match(text)) or (match := _THANKS.search(text)):
        text = (text[: match.start()] + text[match.end() :]).strip()
    text = re.sub(r"(?: ?\?)+$|(?<![0-9)])!$|(?<=[^.])\.$", "", text).strip()
    while match := _THANKS.search(text):
        text = text[: match.start()].strip()
    return re.sub(r"^what(?:'s|s) ", "what is ", text, flags=re.IGNORECASE)


def plain_question(request: Request, system: str = "plain") -> str | None:
    """The text of a last message that asks in words, where no system message asks for another form; else None.

    What is parsed leans on nothing: earlier turns cannot change what every word of it says.
    """
    *before, last = request.messages or ({},)
    if last.get("role") != "user" or not isinstance(text := _only_text(last), str):
        return None
    orders = [message for message in before if _system_role(message)]
    if system == "plain" and not all(_plain(texts.content(message)) for message in orders):
        return None
    return text if all(_harmless(name, value) for name, value in request.params.items()) else None


def _only_text(message: dict[str, Any]) -> str | None:
    content = message.get("content")
    if isinstance(content, str):
        return content
    only = isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content)  # pyright: ignore[reportUnknownVariableType,reportUnknownMemberType]
    return texts.content(message) if only else None


def _system_role(message: dict[str, Any]) -> bool:
    return message.get("role") in ("system", "developer")


def _plain(text: str) -> bool:
    return len(text) <= LONGEST and PLAIN.issuperset(re.findall(r"[^\s.,!]+", text.lower()))


def _harmless(name: str, value: Any) -> bool:
    if name == "n":
        return value in (None, 1)
    if name == "response_format":
        return value in (None, {"type": "text"})
    if name == "tool_choice" and value == "none":
        return True
    return name not in WISHES or value is None or value == [] or value is False


def _fits(usage: Usage, request: Request) -> bool:
    most = request.params.get("max_completion_tokens") or request.params.get("max_tokens")
    return not isinstance(most, int) or usage.completion <= most


def _zone(name: str) -> ZoneInfo | None:
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(
            f"There is no time zone {name!r} on this machine.",
            "Use an IANA name such as Europe/Berlin; install tzdata.",
        ) from error


def _clock(now: str) -> Callable[[], datetime]:
    if not now:
        return lambda: datetime.now(UTC)
    try:
        fixed = datetime.fromisoformat(now)
    except ValueError as error:
        raise ConfigError(f"{now!r} is no instant.", "Write ISO 8601, such as 2026-01-31T12:00:00+00:00.") from error
    if fixed.tzinfo is None:
        raise ConfigError(f"{now!r} has no offset.", "Write it with one, such as 2026-01-31T12:00:00+00:00.")
    return lambda: fixed
