"""The final answer in a text: a number, a letter of the choices, or what stands in a box; and whether two agree."""

import re

TAIL = 2000
"""Characters at the end of a text in which a final answer is sought."""
_NUMBER = re.compile(r"-?[0-9][0-9,]*(?:\.[0-9]+)?(?:/[0-9]+)?|-?\.[0-9]+")
_HASHES = re.compile(r"####[ \t]*([^\n]{1,80})")
_BOX = re.compile(r"\\boxed\{([^\n]{1,120})")
_JSON = re.compile(r"\"answer\"\s{0,4}:\s{0,4}\"?([^\"\n}]{1,120})")
_SAID = re.compile(
    r"\b(?:final answer|correct answer|answer|correct (?:option|choice)|therefore|thus|hence|in total|so)\b[^\n.]{0,40}?"  # noqa: E501 - one expression
    r"(?:\bis\b|[:=])[ \t]*\**[ \t]*(?=([^\n]{1,80}))",  # not taken: "so x is 3. The answer is (J)" says two
    re.IGNORECASE,
)
_LETTER = re.compile(r"^\W{0,4}(?:option |choice )?\(?([A-J])\)?(?![A-Za-z'’])")


def final(text: str, choices: bool) -> tuple[str, str]:
    """The final answer, normalised, and how it was marked: `hashes`, `box`, `json`, `said`, `last`, or "" for none."""
    tail = text[-TAIL:]
    for mark, pattern in (("hashes", _HASHES), ("box", _BOX), ("json", _JSON), ("said", _SAID)):
        for found in reversed(pattern.findall(tail)):
            if value := _normal(found, choices):
                return value, mark
    if choices:
        alone = _LETTER.match(tail.strip()) if len(tail.strip()) < 12 else None
        return (alone[1], "last") if alone else ("", "")
    numbers = _NUMBER.findall(tail)
    return (_plain(numbers[-1]), "last") if numbers else ("", "")


def _normal(found: str, choices: bool) -> str:
    if choices:
        letter = _LETTER.match(found)
        return letter[1] if letter else ""
    number = _NUMBER.search(found)
    if number:
        return _plain(number[0])
    return re.sub(r"[\s*$.}]+", "", found).lower()


def _plain(number: str) -> str:
    """`1,200.50` and `1200.5` alike."""
    value = number.replace(",", "")
    try:
        return format(float(value), ".10g")
    except ValueError:
        return value


def number(final_answer: str) -> float | None:
    """The final answer as a number, if it is one."""
    try:
        return float(final_answer)
    except ValueError:
        return None


def agree(one: str, other: str) -> bool:
    """Whether two final answers are the same; a missing one agrees with none."""
    if not one or not other:
        return False
    first, second = number(one), number(other)
    if first is not None and second is not None:
        return abs(first - second) <= 1e-6 * max(1.0, abs(first))
    return one == other
