"""What an answer looks like, as numbers: a final answer, sums redone, hedging, length, code that parses; no model."""

import ast
import json
import math
import re
import warnings
from collections.abc import Sequence

import numpy as np

from trimtab.odds.arithmetic import checked
from trimtab.odds.final import agree, final, number
from trimtab.odds.question import CHOICE
from trimtab.odds.words import Floats

SAMPLE = 8000
"""Characters looked at."""
_HEDGE = re.compile(
    r"\b(?:i think|i believe|i assume|assuming|assume|probably|perhaps|maybe|might|not sure|unclear|unsure|it seems|"
    r"seems|approximately|roughly|closest|likely|possibly)\b",
    re.IGNORECASE,
)
_TURN = re.compile(
    r"\b(?:however|wait|but|actually|mistake|correction|let'?s re|re-?check|instead|although|none of the|no option|"
    r"not (?:listed|given|among)|cannot be determined|does not match|doesn'?t match)\b",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    r"\b(?:as an ai|i cannot|i can'?t|i'm unable|i am unable|i'm sorry|i don'?t know)\b", re.IGNORECASE
)
_STEP = re.compile(r"(?:^|\n)\s{0,4}(?:step\b|\*\*|[-*] |[0-9]{1,2}[.)] )", re.IGNORECASE)
_BECAUSE = re.compile(r"\b(?:because|since|so|therefore|thus|hence)\b", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9][0-9,]*(?:\.[0-9]+)?")
_FENCE = re.compile(r"```([a-z]*)\n(.*?)```", re.DOTALL)
_MARKS = ("hashes", "box", "json", "said", "last")
NAMES = (
    "empty", "chars", "words", "lines", "steps", "sentences", "to_question", "digits", "numbers", "hedges", "turns",
    "refused", "because", "cut", "repeats", "sums", "wrong", "any_wrong", "wrong_share", "ends_in_last_sum", "fraction",
    "negative", "magnitude", "decimals", "final_in_question", "figures_used", "figures", "letters", "chosen_quoted",
    "chosen_rank", "choice_number", "code", "code_broken", "none", *_MARKS,
)  # fmt: skip
"""The names of `facts`, in its order."""
SECOND = ("agrees", "differs", "missing", "second_chars", "second_wrong", "length_gap", "second_hedges", "far",
          "against")  # fmt: skip
"""The names of `second`, in its order."""


def facts(question: str, text: str | None) -> Floats:
    """`len(NAMES)` numbers of an answer to a question; counts as log(1 + n). Linear in both texts."""
    said, question = (text or "")[-SAMPLE:], question[-SAMPLE:]
    choices = dict(CHOICE.findall(question))
    answer, mark = final(said, bool(choices))
    return np.array([
        *_shape(question, said, mark), *_sums(said, answer), *_figures(question, said, answer),
        *_chosen(choices, said, answer), *_code(said), not answer, *(mark == name for name in _MARKS),
    ], np.float32)  # fmt: skip


def second(question: str, text: str | None, other: str | None, earlier: Sequence[str | None] = ()) -> Floats:
    """`len(SECOND)` numbers: does another cheap opinion end in the same answer, and how sound does it look?

    Where it differs, how many of the `earlier` opinions end as it does: the answer may be outvoted.
    """
    choices = bool(CHOICE.search(question[-SAMPLE:]))
    said, opinion = (text or "")[-SAMPLE:], (other or "")[-SAMPLE:]
    (one, _), (two, _) = final(said, choices), final(opinion, choices)
    same, a, b = agree(one, two), number(one), number(two)
    alike = 0 if same else sum(agree(two, final((before or "")[-SAMPLE:], choices)[0]) for before in earlier)
    far = 0.0 if a is None or b is None or same else math.log1p(min(1e6, abs(a - b) / max(1.0, abs(a))))
    return np.array([
        same, bool(one and two and not same), not two, math.log1p(len(opinion)), math.log1p(checked(opinion).wrong),
        abs(math.log1p(len(opinion)) - math.log1p(len(said))), math.log1p(len(_HEDGE.findall(opinion))), far,
        alike,
    ], np.float32)  # fmt: skip


def _shape(question: str, said: str, mark: str) -> tuple[float, ...]:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    logs = [len(said.split()), len(lines), len(_STEP.findall(said)), said.count(". ")]
    counts = [_NUMBER, _HEDGE, _TURN, _REFUSED, _BECAUSE]
    cut = bool(said) and mark in ("", "last") and said.rstrip()[-1:] not in ".!?)}]*`\"'"
    return (
        not said.strip(), math.log1p(len(said)), *map(math.log1p, logs),
        math.log1p(len(said)) - math.log1p(len(question)), sum(map(str.isdigit, said)) / max(1, len(said)),
        *(math.log1p(len(pattern.findall(said))) for pattern in counts), cut,
        1 - len(set(lines)) / len(lines) if lines else 0.0,
    )  # fmt: skip


def _sums(said: str, answer: str) -> tuple[float, ...]:
    sums, wrong, last = checked(said)
    value = number(answer)
    ends = last is not None and value is not None and abs(last - value) < 1e-6
    return (math.log1p(sums), math.log1p(wrong), wrong > 0, wrong / max(1, sums), ends)


def _figures(question: str, said: str, answer: str) -> tuple[float, ...]:
    asked = {found.replace(",", "") for found in _NUMBER.findall(question)}
    used = {found.replace(",", "") for found in _NUMBER.findall(said)}
    value = number(answer)
    return (
        value is not None and value != int(min(max(value, -1e15), 1e15)), value is not None and value < 0,
        math.log1p(min(abs(value), 1e12)) if value is not None else 0.0, len(answer.partition(".")[2]) > 2,
        answer in asked, len(asked & used) / max(1, len(asked)), math.log1p(len(asked)),
    )  # fmt: skip


def _chosen(choices: dict[str, str], said: str, answer: str) -> tuple[float, ...]:
    chosen = choices.get(answer, "")
    named = {match for match in re.findall(r"\(([A-J])\)|\b([B-J])\b", said) for match in match if match}
    return (
        math.log1p(len(named)), bool(chosen) and chosen.strip(" .").lower() in said.lower(),
        (ord(answer) - 64) / 10 if chosen else 0.0, any(map(str.isdigit, chosen)),
    )  # fmt: skip


def _code(said: str) -> tuple[float, float]:
    blocks = _FENCE.findall(said)
    return float(bool(blocks)), float(sum(not _parses(kind, code) for kind, code in blocks[:8]))


def _parses(kind: str, code: str) -> bool:
    """Whether a block of Python or JSON parses; other languages are taken as they are."""
    try:
        if kind in ("python", "py"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ast.parse(code)
        elif kind == "json":
            json.loads(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
