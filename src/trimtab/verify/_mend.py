"""Mends text that is nearly JSON, where that is certain: nothing is guessed, and nothing but prose around it is lost.

Taken away: code fences, prose before and after, comments, commas too many. Put right: single and curly quotes, names
without quotes, True, False and None, line ends inside strings. Text that was cut short, two documents, a key that is
there twice, or an apostrophe that may or may not end its string are left alone. Pure, linear in the text.
"""

import json
import re
from typing import NoReturn

DEEPEST = 64
_FENCE = re.compile(r"```[\w+-]*[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)
_GAP = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/|#[^\n]*)*", re.DOTALL)
_NUMBER = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)((?:[eE][+-]?\d+)?)(?![\w.])")
_NAME = re.compile(r"[A-Za-z_$][\w$-]*")
_PLAIN = re.compile(r"[^\\\"'\u201c\u201d\x00-\x1f]+")
_WORDS = {"true": "true", "True": "true", "false": "false", "False": "false", "null": "null", "None": "null"}
_CLOSES = {'"': '"', "'": "'", "\u201c": "\u201d"}


class _Unclear(Exception):  # noqa: N818 - no error: the text is left alone
    """It can be read in no way, or in more than one."""


def mended(text: str) -> str | None:
    """The JSON that the text means, its numbers as they were written; None where that is not certain."""
    around, fenced = "", list(_FENCE.finditer(text))
    if len(fenced) == 1 and fenced[0][1].lstrip()[:1] in ("{", "["):
        around, text = text[: fenced[0].start()] + text[fenced[0].end() :], fenced[0][1]
    elif fenced:
        return None
    bare = text.lstrip()[:1] == "["  # elsewhere a bracket may be a footnote's
    start = text.find("[" if bare else "{")
    if start < 0:
        return None
    reader = _Reader(text, start)
    try:
        reader.value(0)
        found = "".join(reader.out)
        json.loads(found)  # a control: what leaves here is JSON
    except (_Unclear, ValueError, RecursionError):
        return None
    return None if re.search(r"[{\[\]}]", around + text[reader.at :] + text[:start]) else found


class _Reader:
    """Reads leniently from `at` on and writes strict JSON to `out`."""

    def __init__(self, text: str, at: int) -> None:
        self._text, self.at = text, at
        self.out: list[str] = []

    def value(self, depth: int) -> None:
        if depth > DEEPEST:
            self._stop()
        match self._peek():
            case "{":
                self._members(depth)
            case "[":
                self._items(depth)
            case quote if quote in _CLOSES:
                self.out.append(self._string())
            case _:
                self.out.append(self._word())

    def _members(self, depth: int) -> None:
        keys = set[str]()
        self._take("{")
        while self._peek() != "}":
            key = self._string() if self._peek() in _CLOSES else json.dumps(self._match(_NAME))
            if key in keys:
                self._stop()
            keys.add(key)
            self.out.append(key)
            self._peek()
            self._take(":")
            self.value(depth + 1)
            self._comma("}")
        self._take("}")

    def _items(self, depth: int) -> None:
        self._take("[")
        while self._peek() != "]":
            self.value(depth + 1)
            self._comma("]")
        self._take("]")

    def _comma(self, closing: str) -> None:
        """Between members one comma, which is left out before the end."""
        if self._peek() == ",":
            self.at += 1
            if self._peek() != closing:
                self.out.append(",")
        elif self._peek() != closing:
            self._stop()

    def _string(self) -> str:
        closing, self.at = _CLOSES[self._text[self.at]], self.at + 1
        said: list[str] = []
        while (char := self._text[self.at : self.at + 1]) != closing:
            if not char:
                self._stop()
            if char == "\\":
                said.append(self._escape())
            elif found := _PLAIN.match(self._text, self.at):
                said.append(found[0])
                self.at = found.end()
            else:
                said.append(json.dumps(char, ensure_ascii=False)[1:-1])
                self.at += 1
        self.at += 1
        return f'"{"".join(said)}"'

    def _escape(self) -> str:
        pair = self._text[self.at : self.at + 2]
        self.at += 2
        return "'" if pair == "\\'" else pair

    def _word(self) -> str:
        if found := _NUMBER.match(self._text, self.at):
            self.at = found.end()
            return _number(*found.groups())
        return _WORDS.get(self._match(_NAME)) or self._stop()

    def _match(self, pattern: "re.Pattern[str]") -> str:
        found = pattern.match(self._text, self.at) or self._stop()
        self.at = found.end()
        return found[0]

    def _peek(self) -> str:
        """The next character that is no white space and in no comment; "" at the end."""
        gap = _GAP.match(self._text, self.at)
        self.at = gap.end() if gap else self.at
        return self._text[self.at : self.at + 1]

    def _take(self, char: str) -> None:
        if self._text[self.at : self.at + 1] != char:
            self._stop()
        self.out.append(char)
        self.at += 1

    def _stop(self) -> NoReturn:
        raise _Unclear


def _number(sign: str, digits: str, exponent: str) -> str:
    """`+1`, `.5` and `1.` as JSON writes them; a number that begins with a nought may be octal, and is left alone."""
    whole, point, rest = digits.partition(".")
    if len(whole) > 1 and whole[0] == "0":
        raise _Unclear
    return f"{sign.strip('+')}{whole or '0'}{point and rest and f'.{rest}'}{exponent}"
