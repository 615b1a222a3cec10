"""Arithmetic expressions, signs or words: an own tokenizer and a recursive descent over exact fractions, no eval.

What two careful readers could compute differently is not read: implicit products, `-2^2`, `2^3^2`, `10 % 3`,
`1-2 * 3`, spoken chains that mix precedences, and what may be a date, a range, a score or a size (`9/11`, `4x4`).
"""

import operator
import re
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

from trimtab.answer._reading import MAX_BITS, WORDS, Reading, Unclear, bounded, number, root, show, whole

MAX_DEPTH = 20
_SIGNS = {"×": "*", "*": "*", "x": "*", "÷": "/", "/": "/", "+": "+", "-": "-", "−": "-", "^": "^", "**": "^"}
_SPOKEN = {
    "plus": "+", "minus": "-", "times": "*", "multiplied by": "*", "divided by": "/", "mod": "mod", "modulo": "mod",
    "to the power of": "^", "raised to the power of": "^", "to the power": "^",
}  # fmt: skip
_POWERS = {"squared": 2, "cubed": 3, "²": 2, "³": 3}
_TOKEN = re.compile(
    r"(?P<number>[0-9.][0-9.,]*(?:e[+-]?[0-9]+)?)"
    r"|(?P<word>multiplied by|divided by|raised to the power of|to the power of|to the power|sqrt|"
    r"[a-z]+(?:-[a-z]+)?)"
    r"|(?P<sign>\*\*|[-+*/^()%²³×÷−√])"
)
_DATE_LIKE = re.compile(r"[0-9]{1,4}([-/.])[0-9]{1,2}\1[0-9]{1,4}")
_LEVEL = {"+": 1, "-": 1, "*": 2, "/": 2, "mod": 2, "^": 3}


class Token(NamedTuple):
    """`kind`: number, sign, power, percent, root, open or close; `before` and `after`: whether a space stands there."""

    kind: str
    text: str
    raw: str
    before: bool
    after: bool

    @property
    def spoken(self) -> bool:
        return self.raw in _SPOKEN or self.raw in ("squared", "cubed")


def read(text: str, *, english: bool, computing: bool) -> Reading:
    """The value of a lowercase expression.

    `english`: an English word stood around it; `computing`: a word such as "calculate" or a closing `=` says that it
    is one. Raises `Unclear`.
    """
    if _DATE_LIKE.search(text):
        raise Unclear
    tokens = _tokens(text)
    _refuse_ambiguous(tokens, computing)
    parser = _Parser(tokens, english)
    value, label = parser.sum(0)
    parser.end()
    return Reading(show(value), f"arithmetic: {label}")


def _tokens(text: str) -> list[Token]:
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        if text[at] == " ":
            at += 1
            continue
        if not (match := _TOKEN.match(text, at)):
            raise Unclear
        before, at = text[at - 1 : at] in ("", " "), match.end()
        kind, said = _kind(match)
        tokens.append(Token(kind, said, match[0], before, text[at : at + 1] in ("", " ")))
    return tokens


def _kind(match: re.Match[str]) -> tuple[str, str]:
    said = match[0]
    if match.lastgroup == "number" or said in WORDS:
        return "number", said
    if said in _SIGNS or said in _SPOKEN:
        return "sign", _SIGNS.get(said) or _SPOKEN[said]
    if said in _POWERS:
        return "power", str(_POWERS[said])
    names = {"%": "percent", "percent": "percent", "(": "open", ")": "close", "sqrt": "root", "√": "root"}
    if said not in names:
        raise Unclear
    return names[said], said


def _refuse_ambiguous(tokens: list[Token], computing: bool) -> None:
    """Raise `Unclear` for what has more than one reading though it would parse."""
    binary = [t for i, t in enumerate(tokens) if t.kind == "sign" and i and tokens[i - 1].kind not in ("sign", "open")]
    if not binary and not any(token.kind in ("power", "root") for token in tokens):
        raise Unclear
    if not computing and _may_be_a_name(binary):
        raise Unclear
    if any(token.before != token.after for token in binary if not token.spoken):
        raise Unclear
    if _spacing_against_precedence(binary) or _spoken_mixture(binary, tokens):
        raise Unclear
    if any(token.kind == "percent" for token in tokens) and {token.text for token in binary} != {"*"}:
        raise Unclear
    if len(binary) > 1 and "mod" in {token.text for token in binary}:
        raise Unclear
    if binary and any(t.kind == "root" and tokens[i + 1 : i + 2] != [] and tokens[i + 1].kind != "open"
                      for i, t in enumerate(tokens)):  # fmt: skip
        raise Unclear


def _may_be_a_name(binary: list[Token]) -> bool:
    """`9/11`, `555-1234`, `4x4`: dates, ranges, sizes and names are written so."""
    return bool(binary) and all(token.raw in "-/x" and not (token.before or token.after) for token in binary)


def _spacing_against_precedence(binary: list[Token]) -> bool:
    tight = [_LEVEL[token.text] for token in binary if not token.before]
    spaced = [_LEVEL[token.text] for token in binary if token.before]
    return bool(tight and spaced) and min(tight) < max(spaced)


def _spoken_mixture(binary: list[Token], tokens: list[Token]) -> bool:
    """Whether words leave the order open: "3 plus 4 times 5" is heard as 35 or 23, "2 plus 3 squared" as 25 or 11."""
    powers = sum(token.kind == "power" for token in tokens)
    if not any(token.spoken for token in tokens):
        return False
    chain = {token.text for token in binary} in ({"+"}, {"*"}) and not powers
    return len(binary) + powers > 1 and not chain


class _Parser:
    """sum: term (+|- term)*; term: power (*|/|mod power)*; power: -? factor (^ exponent)?; factor: number or (sum)."""

    def __init__(self, tokens: list[Token], english: bool) -> None:
        self._tokens, self._at, self._english = tokens, 0, english

    def end(self) -> None:
        if self._at != len(self._tokens):
            raise Unclear

    def sum(self, depth: int) -> tuple[Fraction, str]:
        return self._chain(("+", "-"), self._term, depth)

    def _term(self, depth: int) -> tuple[Fraction, str]:
        return self._chain(("*", "/", "mod"), self._power, depth)

    def _chain(
        self, signs: tuple[str, ...], operand: Callable[[int], tuple[Fraction, str]], depth: int
    ) -> tuple[Fraction, str]:
        value, label = operand(depth)
        while (sign := self._peek("sign")) in signs:
            self._at += 1
            right, said = operand(depth)
            value, label = _apply(value, sign, right), f"{label} {sign} {said}"
        return value, label

    def _power(self, depth: int) -> tuple[Fraction, str]:
        minus = self._minus()
        value, label = self._factor(depth)
        if self._peek("sign") == "^":
            self._at += 1
            negative = self._minus()
            exponent, said = self._factor(depth)
            if minus or self._peek("sign") in ("^", "/"):
                raise Unclear
            return power(value, -exponent if negative else exponent), f"{label} ^ {'-' * negative}{said}"
        return (-value, f"-{label}") if minus else (value, label)

    def _minus(self) -> bool:
        """A sign before an operand, written tight to it."""
        if self._peek("sign") != "-":
            return False
        token = self._tokens[self._at]
        following = self._tokens[self._at + 1 : self._at + 2]
        squared = self._tokens[self._at + 2 : self._at + 3]
        if token.after or token.spoken or not following or (squared and squared[0].kind == "power"):
            raise Unclear
        self._at += 1
        return True

    def _factor(self, depth: int) -> tuple[Fraction, str]:
        if self._peek("root"):
            self._at += 1
            value, label = self._atom(depth)
            if self._peek("power") or (found := root(value, 2) if value >= 0 else None) is None:
                raise Unclear
            return found, f"sqrt({label.strip('()')})"
        value, label = self._atom(depth)
        if exponent := self._peek("power"):
            self._at += 1
            if self._peek("power"):
                raise Unclear
            return power(value, Fraction(exponent)), f"{label} ^ {exponent}"
        return value, label

    def _atom(self, depth: int) -> tuple[Fraction, str]:
        if self._peek("open"):
            if depth == MAX_DEPTH:
                raise Unclear
            self._at += 1
            value, label = self.sum(depth + 1)
            self._take("close")
            return value, f"({label})"
        said = self._take("number")
        value = number(said, english=self._english)
        if not self._peek("percent"):
            return value, said
        self._at += 1
        return value / 100, f"{said} / 100"

    def _peek(self, kind: str) -> str:
        token = self._tokens[self._at] if self._at < len(self._tokens) else None
        return token.text if token and token.kind == kind else ""

    def _take(self, kind: str) -> str:
        if not (text := self._peek(kind)):
            raise Unclear
        self._at += 1
        return text


def power(base: Fraction, exponent: Fraction) -> Fraction:
    """An exact integer power. Raises `Unclear` for others, for 0^0, and before it could grow too large."""
    n = whole(exponent)
    if not base and n <= 0:
        raise Unclear
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if bits > 1 and bits * abs(n) > MAX_BITS:
        raise Unclear
    if abs(n) > MAX_BITS:
        raise Unclear
    return base**n


def _apply(left: Fraction, sign: str, right: Fraction) -> Fraction:
    if sign in ("/", "mod") and not right:
        raise Unclear
    if sign == "mod":
        return Fraction(_natural(left) % _natural(right))
    return bounded({"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}[sign](left, right))


def _natural(value: Fraction) -> int:
    """Languages disagree on the remainder of negative numbers: those are not read."""
    if value < 0:
        raise Unclear
    return whole(value)
