"""Facts about a request that need no model; all of them together take some ten microseconds.

`language` is guessed from the script alone: a BCP 47 language where a script serves one (`ja`, `ko`, `el`), else
`und-` and the script (`und-Latn`), so that English and French look alike.
"""

import re
import time
from collections.abc import Callable
from functools import cache

import msgspec

from trimtab import texts
from trimtab.money import estimate
from trimtab.sieve import Sieve
from trimtab.types import Json, Request, Signal

SAMPLE = 4000
"""Characters looked at for code, numbers and script: a long text shows them early."""
IMAGES = frozenset({"image_url", "input_image", "image", "input_audio", "file"})

_ASKING = """
what who whom whose when where why which how is are am was were do does did can could should would will may has have
"""
ASKING = frozenset(_ASKING.split())
"""First words of a question."""

# Impact words, reviewed 2026-11. A request is of high impact where it asks us to do what cannot be undone, to move
# money, or for advice on one's own health or legal position. Questions *about* such things ("why was my transfer
# declined?", "how do I close my account?") are not: a wrong answer to them can be put right. TRIGGERS are a cheap
# sieve: without one of these words none of the patterns below can match.
_TRIGGERS = """
delete erase wipe purge destroy close terminate deactivate drop transfer send wire pay withdraw diagnose diagnosis
dosage dose overdose symptoms medication medications medicine medicines meds pill pills drug drugs antibiotics
antidepressants aspirin ibuprofen paracetamol acetaminophen insulin warfarin mg fever rash bleeding lump seizure
seizures chest breath suicide legal legally sue lawsuit evict plead custody liable charges lease will prenup
"""
TRIGGERS = frozenset(_TRIGGERS.split())
_DO = (
    r"(?:^|[.!?\n]\s*|\b(?:yes,?|ok,?|okay,?|sure,?|please|kindly|now|then|and|i want to|i want you to|i would like to|"
    r"i'd like to|i'd like you to|i need to|i need you to|you must|you should|can you|could you|would you|will you|"
    r"help me|go ahead and)\s+)"
)
_THINGS = (
    r"(?:accounts?|profile|data|database|tables?|files?|folders?|records?|backups?|repository|history|everything|disk|"
    r"drive)"
)
_MONEY = r"(?:[$€£¥]\s?[0-9]|[0-9][0-9.,]*\s?(?:k|usd|eur|gbp|chf|jpy|dollars?|euros?|pounds?|bucks|[$€£¥])\b)"
_DRUG = (
    r"(?:medications?|medicines?|meds|drugs?|pills?|[0-9]+ ?mg|dose|antibiotics|antidepressants|aspirin|ibuprofen|"
    r"paracetamol|acetaminophen|insulin|warfarin)"
)
IMPACT: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("irreversible", re.compile(
        _DO + r"(?:permanently |immediately |just )?(?:delete|erase|wipe|purge|destroy|close|terminate|deactivate|drop)"
        r"\s+(?:(?:my|our|the|this|that|these|those|all|every|his|her|their|your|a user's)\b[^.?!\n]{0,40}?\b"
        + _THINGS + r"\b|everything\b|(?:account|table|database|file|user|record)s? (?:number )?[a-z0-9_#/]+)")),
    ("money", re.compile(
        _DO + r"(?:transfer|send|wire|pay|withdraw)\s(?:[^.?!\n]{0,60}?" + _MONEY
        + r"|(?:all|everything|half|the rest|my (?:money|savings|balance))\b)")),
    ("medical", re.compile(
        r"\b(?:dosage|overdose|suicide)\b"
        r"|\b(?:diagnose|diagnosis)\b[^.?!\n]{0,40}\b(?:me|my|i|patient|symptoms?|child)\b"
        r"|\b(?:my|your|patient's) (?:[a-z]+ )?diagnosis\b|\bdiagnose\b"
        r"|\b(?:can|should|may|could|safe for|is it safe|is it ok|ok for|how (?:many|much|often))\b[^.?!\n]{0,60}\b"
        + _DRUG + r"[^.?!\n]{0,60}\b(?:take|give|mix|combine|stop|skip|double|safe)\b"
        r"|\b(?:should|can|may|could) (?:i|we|he|she|they|my [a-z]+)\b[^.?!\n]{0,20}\b"
        r"(?:take|stop|mix|combine|double|skip|give)\b[^.?!\n]{0,60}\b" + _DRUG + r"\b"
        r"|\b(?:i have|i've had|i am having|i'm having|my [a-z]+ has)\b[^.?!\n]{0,40}\b"
        r"(?:chest pain|fever|rash|bleeding|lump|seizures?|shortness of breath)\b"
        r"|\b(?:my|these|those) symptoms\b")),
    ("legal", re.compile(
        r"\blegal(?:ly)? (?:advice|opinion|position|rights)\b"
        r"|\b(?:should|can|could|may) (?:i|we) (?:sue|plead|press charges|evict|break (?:my|the|our) lease)\b"
        r"|\b(?:am i|are we) (?:legally )?liable\b|\bplead (?:not )?guilty\b"
        r"|\b(?:custody of my|file a lawsuit|last will|(?:draft|write) (?:me )?(?:my|a) (?:will|prenup))\b")),
)  # fmt: skip

_INFORMATIONAL = re.compile(
    r"(?:^|(?<=[.!?\n]))\s*(?:how (?:do|does|can|could|to|would|should)|why|when|where|what happens|what if)\b[^.!?\n]*"
)
"""A sentence that asks how or why does not ask to do it."""
_WORDS = re.compile(r"[a-z']+")
_CODE = re.compile(
    r"```|^(?:def |class |import |from \w+ import |#include|function |const |let |public |SELECT |<\?php|#!/)"
    r"|(?:=>|==|!=|\);|\{\n|</[a-z])",
    re.MULTILINE,
)
_LETTER = re.compile(r"[A-Za-z]")
_DIGIT = re.compile(r"[0-9]")
_SCRIPTS = (
    ("ja", re.compile("[\u3040-\u30ff]")), ("ko", re.compile("[\uac00-\ud7a3\u1100-\u11ff]")),
    ("zh", re.compile("[\u4e00-\u9fff\u3400-\u4dbf]")), ("und-Cyrl", re.compile("[\u0400-\u04ff]")),
    ("und-Arab", re.compile("[\u0600-\u06ff]")), ("he", re.compile("[\u0590-\u05ff]")),
    ("el", re.compile("[\u0370-\u03ff]")), ("und-Deva", re.compile("[\u0900-\u097f]")),
    ("th", re.compile("[\u0e00-\u0e7f]")), ("hy", re.compile("[\u0530-\u058f]")),
    ("ka", re.compile("[\u10a0-\u10ff]")), ("und-Latn", re.compile("[A-Za-z\u00c0-\u024f]")),
)  # fmt: skip
_SHORT = 40
"""Below so many characters a message may lean on the one before ("yes, do it"), which is then judged with it."""


class _View:
    """What several signals look at, found once: `seen` says which of `_LOOKED` may stand in the sample."""

    __slots__ = ("format", "messages", "params", "question", "sample", "seen")

    def __init__(self, request: Request) -> None:
        self.messages, self.params = request.messages, request.params
        self.question = texts.question(request)
        self.sample = self.question[:SAMPLE]
        self.seen = _sieve()(self.sample)
        wanted = self.params.get("response_format")
        self.format = str(wanted.get("type", "")) if isinstance(wanted, dict) else ""  # pyright: ignore[reportUnknownArgumentType,reportUnknownMemberType]

    def asked(self) -> str:
        """The question in lower case, with the user's message before it where it is too short to stand alone."""
        if len(self.question) >= _SHORT or len(self.messages) < 2:
            return _ends(self.question).lower().replace("’", "'")
        said = [texts.content(message) for message in self.messages if message.get("role") == "user"]
        return "\n".join(map(_ends, said[-2:])).lower().replace("’", "'")


def signals(request: Request, timed: bool = False) -> tuple[Signal, ...]:
    """The facts of a request in `NAMES`' order; `timed`, each with the microseconds it took."""
    view = _View(request)
    if not timed:
        return tuple([Signal(name=name, value=find(view)) for name, find in _FINDERS])
    found, clock = list[Signal](), time.perf_counter_ns
    began = clock()
    for name, find in _FINDERS:
        value = find(view)
        now = clock()
        found.append(Signal(name=name, value=value, us=(now - began) / 1000))
        began = clock()
    return tuple(found)


def _ends(text: str) -> str:
    """Where people put what they ask for: before or after what they paste."""
    return text if len(text) <= 2 * SAMPLE else f"{text[:SAMPLE]}\n{text[-SAMPLE:]}"


def language(text: str) -> str:
    """The most frequent script of a text as BCP 47; han is Japanese where kana stand with it; `und` for none."""
    if text.isascii():
        return "und-Latn" if _LETTER.search(text) else "und"
    counts = {name: len(pattern.findall(text)) for name, pattern in _SCRIPTS}
    if counts["ja"]:
        counts["ja"] += counts["zh"]
    name = max(counts, key=lambda key: counts[key])
    return name if counts[name] else "und"


def impact(text: str) -> str:
    """`irreversible`, `money`, `medical`, `legal` or "" for a lowercase text, by the word list above."""
    if TRIGGERS.isdisjoint(_WORDS.findall(text)):
        return ""
    orders = _INFORMATIONAL.sub(" ", text)
    sought = {"irreversible": orders, "money": orders}
    return next((name for name, pattern in IMPACT if pattern.search(sought.get(name, text))), "")


def context_tokens(messages: tuple[Json, ...], params: Json) -> int:
    """Tokens of all that a model would read, estimated: every text, and the tools' definitions."""
    said = sum(estimate(text.text) for text in texts.texts(messages)) if len(messages) > 1 else 0
    tools = params.get("tools") or params.get("functions")
    spent = (len(msgspec.json.encode(tools)) + 3) // 4 if tools else 0
    return (said or estimate(texts.content(messages[0]) if messages else "")) + spent


def _plain(view: _View) -> bool:
    return _LETTERED in view.seen and view.sample.isascii()


def _question_like(view: _View) -> bool:
    head = view.sample[:40].lstrip().lower()
    return view.question.rstrip().endswith(("?", "？", "؟")) or head.partition(" ")[0].removesuffix("'s") in ASKING


def _images(view: _View) -> bool:
    parts = [part for message in view.messages if type(said := message.get("content")) is list for part in said]
    return any(isinstance(part, dict) and part.get("type") in IMAGES for part in parts)  # pyright: ignore[reportUnknownMemberType]


_LOOKED = (
    _CODE.pattern, "[0-9]", "[A-Za-z]", rf"(?:^|[^A-Za-z'])(?i:{'|'.join(sorted(TRIGGERS))})(?:[^A-Za-z']|$)",
)  # fmt: skip
_CODED, _NUMBERED, _LETTERED, _TRIGGERED = range(4)


@cache
def _sieve() -> Sieve:
    return Sieve(_LOOKED, "m")


def _impact(view: _View) -> str:
    """`impact` of what is asked; that is the sample itself but where it is short or long, and needs no second look."""
    alone = len(view.question) <= SAMPLE and (len(view.question) >= _SHORT or len(view.messages) < 2)
    return "" if alone and _TRIGGERED not in view.seen else impact(view.asked())


_FINDERS: tuple[tuple[str, Callable[[_View], str | int | bool]], ...] = (
    ("chars", lambda view: len(view.question)),
    ("tokens", lambda view: estimate(view.question)),
    ("context_tokens", lambda view: context_tokens(view.messages, view.params)),
    ("turns", lambda view: [message.get("role") for message in view.messages].count("user")),
    ("language", lambda view: "und-Latn" if _plain(view) else language(view.sample)),
    ("has_code", lambda view: _CODED in view.seen and _CODE.search(view.sample) is not None),
    ("has_numbers", lambda view: _NUMBERED in view.seen and _DIGIT.search(view.sample) is not None),
    ("has_images", _images),
    ("question_like", _question_like),
    ("wants_tools", lambda view: bool(view.params.get("tools") or view.params.get("functions"))),
    ("wants_json", lambda view: view.format in ("json_object", "json_schema")),
    ("wants_schema", lambda view: view.format == "json_schema"),
    ("impact", _impact),
)
NAMES: tuple[str, ...] = tuple(name for name, _ in _FINDERS)
