"""Questions made from plain texts by rule, and near misses made from questions: more of both than people have written.

A cloze question is a clause with one of its parts asked for ("who ... in 1066"), thinned and mixed so that matching it
takes more than finding its words in a row (cf. Lewis et al. 2019). A near miss swaps a name or a figure for another of
the passage, a word for its opposite, or adds a "not": it looks answered and is not.
"""

import random
import re
from collections.abc import Iterator, Sequence

from trimtab.sentences import STOP_WORDS
from trimtab.train.asked import Question

_NAME = re.compile(r"(?<![.!?] )(?<!^)\b[A-Z][\w'-]+(?:(?: of| the| de| von| and)? [A-Z][\w'-]+){0,3}")
_DATE = re.compile(
    r"\b(?:(?:\d{1,2} )?(?:January|February|March|April|May|June|July|August|September|October|November|December)"
    r"(?: \d{1,2})?(?:,? \d{4})?|(?:1\d|20)\d\d(?:s\b)?|\d{1,2}(?:st|nd|rd|th) century)\b"
)
_FIGURE = re.compile(
    r"(?<![\d,.])\d[\d,]*(?:\.\d+)?(?: ?%| percent| million| billion| thousand| (?:[a-z]{3,12}))?(?![\d,]*\d)"
)
_PHRASE = re.compile(
    r"\b(?:the|an?) ((?:[a-z][a-z-]+ ){0,2}[a-z][a-z-]{2,})"
    r"(?=(?: (?:of|in|and|was|is|were|are|by|to|for|from|with|that|which|at|on|as|or)\b|[,.;:)]))"
)
_CAUSE = re.compile(r"\b(?:because|due to|in order to|by) ([^,.;]{8,60})(?=[,.;])")
_WORD = re.compile(r"[\w'-]+|[^\w\s]")
_CLAUSE = re.compile(r"[,;:()]| which | who | that | and | but | while | although | because ")
PERSON = ("who", "who", "who", "what person", "which person", "whom", "whose name")
PLACE = ("where", "what place", "which country", "what city", "what region", "which state")
THING = (
    "what",
    "what",
    "what",
    "which",
    "what kind of",
    "what type of",
    "what group",
    "what organization",
    "which one",
)
TIME = ("when", "when", "in what year", "what year", "what date", "in which century", "during what time")
COUNT = ("how many", "how many", "how much", "what number of", "what percentage", "how large", "how long")
REASON = ("why", "how", "for what reason", "what")
_AUX = ("did", "was", "is", "are", "does", "were", "do", "has", "can", "", "", "")

_PAIRS = """
first/last increase/decrease increased/decreased increasing/decreasing before/after more/less most/least
largest/smallest larger/smaller highest/lowest higher/lower best/worst better/worse north/south east/west
northern/southern eastern/western early/late earlier/later earliest/latest old/new older/younger major/minor
strong/weak stronger/weaker positive/negative public/private rich/poor high/low long/short fast/slow good/bad
win/lose won/lost allow/forbid allowed/prohibited accept/reject accepted/rejected begin/end began/ended
start/stop started/stopped buy/sell bought/sold support/oppose supported/opposed common/rare always/never
majority/minority male/female men/women king/queen father/mother son/daughter brother/sister husband/wife
inside/outside above/below upper/lower internal/external create/destroy created/destroyed build/demolish
rise/fall rose/fell grow/shrink grew/shrank arrive/leave arrived/left attack/defend attacked/defended
cause/prevent caused/prevented hot/cold wet/dry hard/soft heavy/light rural/urban legal/illegal
possible/impossible natural/artificial ancient/modern military/civilian victory/defeat ally/enemy allies/enemies
maximum/minimum top/bottom enter/exit join/leave joined/left add/remove added/removed open/close opened/closed
directly/indirectly successful/unsuccessful popular/unpopular include/exclude included/excluded
likely/unlikely equal/unequal complete/incomplete regular/irregular active/passive simple/complex
"""
OPPOSITES = tuple(one.split("/") for one in _PAIRS.split())
_OPPOSITE = {a: b for pair in OPPOSITES for a, b in (pair, pair[::-1])}


def clozes(text: str, title: str, chance: random.Random, most: int = 6) -> Iterator[Question]:
    """Up to `most` questions that this text answers."""
    found = _answers(text)
    chance.shuffle(found)
    for start, end, sort in found[:most]:
        if ask := _asked(text, start, end, sort, chance):
            yield Question(ask, text, [(start, end)], title, "train")


def _answers(text: str) -> list[tuple[int, int, tuple[str, ...]]]:
    found: list[tuple[int, int, tuple[str, ...]]] = []
    taken: list[tuple[int, int]] = []

    def take(hit: "re.Match[str]", sort: tuple[str, ...], group: int = 0) -> None:
        start, end = hit.span(group)
        if end - start > 1 and not any(a < end and start < b for a, b in taken):
            taken.append((start, end))
            found.append((start, end, sort))

    for hit in _DATE.finditer(text):
        take(hit, TIME)
    for hit in _FIGURE.finditer(text):
        take(hit, COUNT)
    for hit in _NAME.finditer(text):
        before = text[max(0, hit.start() - 6) : hit.start()]
        sort = PLACE if re.search(r"\b(?:in|at|to|from|near) (?:the )?$", before) else PERSON + THING
        take(hit, sort)
    for hit in _CAUSE.finditer(text):
        take(hit, REASON, 1)
    for hit in _PHRASE.finditer(text):
        take(hit, THING, 1)
    return found


def _asked(text: str, start: int, end: int, sort: tuple[str, ...], chance: random.Random) -> str:
    """The answer's sentence, or the clauses around it, with a question word in its place and then in front."""
    low = max((m.end() for m in re.finditer(r"[.!?]\s+(?=[A-Z\"(])", text[:start])), default=0)
    stop = re.search(r"[.!?](?:\s|$)", text[end:])
    high = end + stop.start() if stop else len(text)
    left, right = text[low:start], text[end:high]
    if chance.random() < 0.75:  # the clause alone
        cuts = [m.end() for m in _CLAUSE.finditer(left)]
        if cuts and len(_WORD.findall(left[cuts[-1] :])) + len(_WORD.findall(right)) >= 4:
            left = left[cuts[-1] :]
        if (cut := _CLAUSE.search(right)) and len(_WORD.findall(left)) + len(_WORD.findall(right[: cut.start()])) >= 4:
            right = right[: cut.start()]
    before, after = ([w for w in _WORD.findall(part) if w.isalnum() or len(w) > 1] for part in (left, right))
    before, after = before[-14:], after[:14]
    wh = chance.choice(sort)
    head: list[str] = [wh]
    if sort is TIME and before and before[-1].lower() in ("in", "on", "by", "since", "during", "the", "from", "of"):
        before = before[:-1]
    if sort is not COUNT and before and before[-1].lower() in ("the", "a", "an"):
        before = before[:-1]
    if before and sort is not REASON:
        head.append(chance.choice(_AUX))
    body = after + before if chance.random() < 0.25 and before and after else before + after
    kept = [w for w in body if chance.random() > (0.25 if w.lower() in STOP_WORDS else 0.1)]
    if chance.random() < 0.3:
        kept = _mixed(kept, chance)
    if sum(w.lower() not in STOP_WORDS for w in kept) < 3:
        return ""
    ask = " ".join(w for w in (*head, *kept) if w)
    return ask[0].upper() + ask[1:] + ("?" if chance.random() < 0.9 else "")


def _mixed(words: list[str], chance: random.Random) -> list[str]:
    return [w for _, w in sorted((at + chance.uniform(0, 3), w) for at, w in enumerate(words))]


def near_miss(one: Question, chance: random.Random, others: Sequence[str] = ()) -> Question | None:
    """The question changed so that the passage no longer answers it, or None where no rule applies."""
    rules = [_renamed, _refigured, _opposed]
    chance.shuffle(rules)
    for rule in (*rules, _negated):
        if (ask := rule(one, chance, others)) and ask != one.ask:
            return one._replace(ask=ask, spans=[])
    return None


def _renamed(one: Question, chance: random.Random, others: Sequence[str]) -> str | None:
    names = list(re.finditer(r"(?<!^)\b[A-Z][\w'-]+(?: [A-Z][\w'-]+)*", one.ask))
    answers = {one.text[start:end] for start, end in one.spans}
    if not names:
        return None
    hit = chance.choice(names)
    pool = {found[0] for found in _NAME.finditer(one.text)}
    pool = [name for name in sorted(pool) if name not in one.ask and hit[0] not in name and name not in answers]
    if not pool or (others and chance.random() < 0.3):
        pool = [name for name in others if name not in one.ask]
    return one.ask[: hit.start()] + chance.choice(pool) + one.ask[hit.end() :] if pool else None


def _refigured(one: Question, chance: random.Random, others: Sequence[str]) -> str | None:
    del others
    hits = list(re.finditer(r"\d+", one.ask))
    if not hits:
        return None
    hit = chance.choice(hits)
    other = [f for f in re.findall(r"\d+", one.text) if f != hit[0] and len(f) == len(hit[0])]
    put = chance.choice(other) if other and chance.random() < 0.6 else str(max(1, int(hit[0]) + chance.randint(1, 40)))
    return one.ask[: hit.start()] + put + one.ask[hit.end() :]


def _opposed(one: Question, chance: random.Random, others: Sequence[str]) -> str | None:
    del others
    hits = [hit for hit in re.finditer(r"\w+", one.ask) if hit[0].lower() in _OPPOSITE]
    if not hits:
        return None
    hit = chance.choice(hits)
    return one.ask[: hit.start()] + _OPPOSITE[hit[0].lower()] + one.ask[hit.end() :]


def _negated(one: Question, chance: random.Random, others: Sequence[str]) -> str | None:
    del others
    hit = re.search(r"\b(?:is|are|was|were|can|could|does|do|did|has|had|should|would)\b", one.ask)
    if not hit or chance.random() < 0.85:
        return None
    if re.search(r"\b(?:not|never|n't)\b", one.ask):
        return None
    put = chance.choice((" not", " never", "n't"))
    return one.ask[: hit.end()] + put + one.ask[hit.end() :]


def names(text: str) -> list[str]:
    """The names in a text."""
    return [hit[0] for hit in _NAME.finditer(text)]
