"""Sums in a text, done again: every `a op b ... = c` without brackets whose left side can be read."""

import re
from typing import NamedTuple

REACH = 80
"""Characters looked at before an equals sign."""
SUMS = 200
"""Equations looked at in one text."""
_LEFT = re.compile(r"[-+]?[0-9$€£.,%]+(?: ?[-+*/x×÷·] ?[0-9$€£.,%]+)+$")
_RIGHT = re.compile(
    r"\s{0,3}[~≈]?\s?[$€£]?\s?(-?[0-9][0-9,]*(?:\.[0-9]+)?|-?\.[0-9]+)(%?)(?![0-9/*x×÷·]| ?[*/×÷·] ?[0-9])"
)
_TOKEN = re.compile(r"[0-9.]+|[-+*/]")
_PLAIN = str.maketrans({"x": "*", "×": "*", "·": "*", "÷": "/", "$": None, "€": None, "£": None, ",": None})


class Checked(NamedTuple):
    """`sums` that could be read, how many were `wrong`, and the right side of the last one."""

    sums: int
    wrong: int
    last: float | None


def checked(text: str) -> Checked:
    """Redo a text's sums; linear in the text, as at most `REACH` characters are read for each equals sign."""
    sums = wrong = 0
    last = None
    for match in re.finditer("=", text):
        if sums >= SUMS:
            break
        right = _RIGHT.match(text, match.end())
        left = _LEFT.search(text[max(0, match.start() - REACH) : match.start()].rstrip())
        if not right or not left or "%" in left[0] or right[2]:
            continue
        value = _value(left[0].translate(_PLAIN).replace(" ", ""))
        if value is None:
            continue
        last = float(right[1].replace(",", ""))
        sums, wrong = sums + 1, wrong + (not _close(value, last, right[1]))
    return Checked(sums, wrong, last)


def _close(value: float, said: float, written: str) -> bool:
    """Equal to the digits that were written; a truncated last digit is no error."""
    digits = len(written.partition(".")[2])
    return abs(value - said) <= 1.0001 * 10.0**-digits if digits else abs(value - said) < 0.5001


def _value(sum_: str) -> float | None:
    """Products before sums, from left to right; None for what is no such sum."""
    parts = _TOKEN.findall(sum_)
    if "".join(parts) != sum_:
        return None
    total, product, sign, op = 0.0, 1.0, 1.0, "*"
    fresh = True
    for part in parts:
        if part in "+-" and fresh:
            sign = -sign if part == "-" else sign
        elif part in "+-":
            total, product, sign, op, fresh = total + sign * product, 1.0, -1.0 if part == "-" else 1.0, "*", True
        elif part in "*/":
            op = part
        else:
            number = _number(part)
            if number is None or (op == "/" and number == 0):
                return None
            product, fresh = (product * number if op == "*" else product / number), False
    return None if fresh else total + sign * product


def _number(part: str) -> float | None:
    try:
        return float(part.rstrip("."))
    except ValueError:
        return None
