"""Sentences of a passage with their places in it, and the words that tell one from another. Pure.

Made for English prose, Markdown, CSV and code: a list item, a table row and a line of code are sentences of their own.
"""

import re
from collections.abc import Iterator

import msgspec

MAX_SENTENCE = 600  # characters; what runs on longer is cut at a space, so that an answer stays an answer
_LINE = re.compile(r"[^\r\n]+")
_ITEM = re.compile(r"[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+")
_QUOTE = re.compile(r"[ \t]*>[ \t]?")
_HEADING = re.compile(r"[ \t]*#{1,6}[ \t]")
_RULE = re.compile(r"[|:=*_ \t-]*")
_FENCE = re.compile(r"[ \t]*(?:```|~~~)")
_STOP = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’)\]*_]{0,3}+(?=\s++[^a-z]|\s*+$)|[。！？]+")
_ABBREVIATED = re.compile(r"(?:\b(?:[A-Z]|mr|mrs|ms|dr|st|prof|vs|etc|e\.g|i\.e|no|fig|approx|inc|ltd|co|jr|sr|gen|col|"
                          r"sen|rep|gov|u\.s|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|c|ca|cf|al|vol|pp?|ed))\.$",
                          re.IGNORECASE)  # fmt: skip
_LEANS = re.compile(
    r"(?:it|its|this|that|these|those|they|their|them|he|she|his|her|then|however|but|otherwise|also|both|"
    r"in that case|if so|if not|after that|before that|to do so|for this)\b",
    re.IGNORECASE,
)
_LINK = re.compile(r"!?\[([^\[\]]{0,300})\]\([^()\s]{0,500}\)")
_MARKS = re.compile(r"\*\*|__|`+|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
STOP_WORDS = frozenset(
    _WORD.findall(
        "a about after all also an and any are aren't as at be because been before being both but by can can't "
        "could did didn't do does doesn't doing don't done each either for from get gets getting give given go "
        "got had has have having he her here hers him his how however i i'd i'm i've if in into is isn't it it's "
        "its just know let like make many may me might more most much must my need no not now of off on one only "
        "or other our ours out over own please shall she should so some still such take tell than that that's the "
        "their them then there these they this those to too under until up upon us use used using very want was "
        "we were what what's when where where's which while who who's whom whose why will with within without "
        "would you your yours explain describe mean means hello hi hey thanks thank ok okay yes good morning "
        "evening afternoon bye goodbye today am find say said happen happens lot lots"
    )
)


class Sentence(msgspec.Struct, frozen=True):
    """Characters `start` to `end` (exclusive) of a passage; `block` numbers the paragraph, item or row it is in."""

    start: int
    end: int
    block: int


def sentences(text: str) -> list[Sentence]:
    """The sentences of a passage in order; headings, rules and fences are none."""
    found: list[Sentence] = []
    for block, (start, end, whole) in enumerate(_blocks(text)):
        cuts = [(start, end)] if whole else _split(text, start, end)
        found += [Sentence(*_stripped(text, a, b), block) for a, b in cuts if text[a:b].strip()]
    return found


def leans(text: str) -> bool:
    """Whether a sentence cannot be read without the one before: it begins with a word that points back."""
    return _LEANS.match(text.lstrip("*_`\"'(")) is not None


def plain(text: str) -> str:
    """What a person reads: no Markdown marks, one line, a table's row as `name: value, value`."""
    text = _MARKS.sub("", _LINK.sub(r"\1", text))
    line = " ".join(text.split())
    if line.startswith("|"):
        first, *rest = [cell.strip() for cell in line.strip("|").split("|")]
        line = f"{first}: {', '.join(cell for cell in rest if cell)}" if rest else first
    return line


def terms(text: str) -> list[str]:
    """The stems of the words that tell something, in order; figures are words too."""
    words = (word.casefold().replace("’", "'") for word in _WORD.findall(text))
    return [stem(word) for word in words if word not in STOP_WORDS]


def stem(word: str) -> str:
    """A light stem, enough to match plurals and verb forms of the same word; not a linguist's."""
    word = word.removesuffix("'s")
    for ending, put in (("ies", "y"), ("sses", "ss"), ("ings", ""), ("ing", ""), ("edly", ""), ("ed", ""), ("ly", ""),
                        ("es", ""), ("s", "")):  # fmt: skip
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith(("ss", "us", "is")):
            word = word.removesuffix(ending) + put
            break
    if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "lsz":
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 3 else word


def _blocks(text: str) -> Iterator[tuple[int, int, bool]]:
    """Paragraphs, list items, rows and lines of code; the last two are `whole`: not split further."""
    open_at, end, fenced = -1, 0, False
    for line in _LINE.finditer(text):
        blank = not line[0].strip() or _gap(text, end, line.start())
        fence = bool(_FENCE.match(line[0]))
        apart = fenced or fence or _HEADING.match(line[0]) or _RULE.fullmatch(line[0]) or line[0].lstrip()[:1] == "|"
        item = _ITEM.match(line[0])
        if open_at >= 0 and (blank or apart or item):
            yield open_at, end, False
            open_at = -1
        fenced ^= fence
        if apart:
            if not (fence or _HEADING.match(line[0]) or _RULE.fullmatch(line[0])):
                yield line.start(), line.end(), True
        elif line[0].strip() and open_at < 0:
            mark = item or _QUOTE.match(line[0])
            open_at = line.start() + (mark.end() if mark else 0)
        end = line.end()
    if open_at >= 0:
        yield open_at, end, False


def _gap(text: str, end: int, start: int) -> bool:
    """Whether an empty line lies between two lines."""
    return text.count("\n", end, start) > 1


def _split(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for stop in _STOP.finditer(text, start, end):
        if stop[0] == "." and _ABBREVIATED.search(text, max(start, stop.start() - 8), stop.end()):
            continue
        yield from _short(text, start, stop.end())
        start = stop.end()
    yield from _short(text, start, end)


def _short(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while end - start > MAX_SENTENCE:
        cut = text.rfind(" ", start + MAX_SENTENCE // 2, start + MAX_SENTENCE)
        cut = cut if cut > 0 else start + MAX_SENTENCE
        yield start, cut
        start = cut
    yield start, end


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    start += len(piece) - len(piece.lstrip())
    return start, start + len(piece.strip())
