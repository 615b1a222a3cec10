"""What a question looks like, as numbers: length, figures, choices, form; from the text alone, in microseconds."""

import math
import re

import numpy as np

from trimtab.odds.words import Floats

SAMPLE = 6000
"""Characters looked at."""
CHOICE = re.compile(r"(?:^|\n)\s{0,4}\(?([A-J])[.):][ \t]+([^\n]*)")
_PATTERNS = {
    "numbers": r"[0-9][0-9,.]*", "symbols": r"[=+*/^<>\\]", "latex": r"[$\\]", "asks": r"\?",
    "negated": r"\b(?:not|except|never|least|false|incorrect)\b", "many": r"\bhow (?:many|much|long|far|old)\b",
    "compute": r"\b(?:calculate|compute|find|determine|evaluate|solve|estimate|simplify)\b",
    "why": r"\b(?:why|explain|because|reason|describe|compare)\b", "which": r"\bwhich (?:of the following|one)\b",
    "rates": r"\b(?:each|every|per|times|twice|half|third|quarter|percent|total|average|remaining|left|more|fewer|less)\b|%",  # noqa: E501 - one expression
    "if": r"\b(?:if|suppose|assume|given|let|then)\b", "statements": r"\bstatement (?:1|2|i|ii)\b|\b[ivx]+ (?:only|and)\b",  # noqa: E501 - one expression
    "legal": r"\b(?:court|law|plaintiff|defendant|statute|contract|jury|rights?)\b",
    "science": r"\b(?:energy|mass|velocity|pressure|molecule|acid|electron|voltage|temperature|cell|gene|protein|force)\b",  # noqa: E501 - one expression
    "logic": r"\b(?:proof|theorem|group|ring|field|function|matrix|integral|derivative|polynomial|set|valid|implies)\b",
    "person": r"\b(?:he|she|his|her|they|their|you|your)\b", "years": r"\b1[0-9]{3}\b|\b20[0-9]{2}\b",
    "units": r"\b(?:hours?|minutes?|days?|weeks?|years?|miles?|km|cm|kg|grams?|dollars?|feet|inches)\b",
    "code": r"\b(?:def|return|print|import|class)\b|[{};]|==", "blank": r"_{2,}",
}  # fmt: skip
_COUNTED = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in _PATTERNS.items()}
NAMES = (
    "chars", "words", "word_length", "long_words", "capitals", "lines", "choices", "choice_length", "choice_spread",
    "choice_numbers", "nested", *_COUNTED,
)  # fmt: skip
"""The names of `facts`, in its order."""


def facts(text: str) -> Floats:
    """`len(NAMES)` numbers, counts as log(1 + n)."""
    text = text[:SAMPLE]
    words = text.split()
    choices = [choice for _, choice in CHOICE.findall(text)]
    lengths = [len(choice) for choice in choices] or [0]
    counts = [math.log1p(len(pattern.findall(text))) for pattern in _COUNTED.values()]
    return np.array([
        math.log1p(len(text)), math.log1p(len(words)), sum(map(len, words)) / max(1, len(words)),
        sum(len(word) > 9 for word in words) / max(1, len(words)), sum(map(str.isupper, text)) / max(1, len(text)),
        math.log1p(text.count("\n")), math.log1p(len(choices)), math.log1p(sum(lengths) / len(lengths)),
        math.log1p(max(lengths) - min(lengths)),
        sum(any(map(str.isdigit, choice)) for choice in choices) / max(1, len(choices)),
        math.log1p(text.count("(")), *counts,
    ], np.float32)  # fmt: skip
