"""How well the grounding verifier tells supported answers from others: `benchmarks/grounding.py --data DIR`.

Measured on BEGIN (Dziri et al. 2022): "Fully attributable" against all else, by part; an answer is as good as its worst
sentence. `shipped` are the verifier's own weights, which no part of BEGIN trained; `left out` are weights fitted on the
other parts, to show what the features could tell. `--fit` prints weights from SQuAD 2.0's paragraphs. Every file
`ground*.jsonl` of DIR, or of its folder guard/, is a part: `knowledge`, `response`, `label` (docs/reference/data.md).
Without any it says so; results/grounding.json is written where BEGIN's three parts are there.
"""

import argparse
import asyncio
import json
import random
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import given
from trimtab.encode.encoder import Encoder
from trimtab.sentences import sentences
from trimtab.verify import _support, grounding

RESULT = Path(__file__).parent / "results" / "grounding.json"
PARTS = ("wow", "cmu", "tc")
SUPPORTED = ("Fully attributable", True)
PARAGRAPHS = 300
PENALTY = 1e-3
KEPT = re.compile(r"\d|\b(?:not?|never|none|without|cannot)\b|n['’]t\b", re.IGNORECASE)
NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+(?: [A-Z][a-z]+)*")
VERBS = ("is", "are", "was", "were", "has", "had")
LEADS = ("", "", "", "Yes, ", "Yeah, ", "Well, ", "No, ", "According to the text, ")
CHAT = (
    "I have always loved {}, it is my favourite.", "I have never heard of {} before.", "My brother is a fan of {} too.",
    "You should really try {}, I think you would like it.", "I saw {} last year and we had a great time.",
    "Wow, I had no idea that {} was so popular.", "I think {} is the best there is.",
    "We used to talk about {} at school.",
)  # fmt: skip


class Pair(NamedTuple):
    """An answer, what it should rest on, and whether it does."""

    evidence: str
    answer: str
    good: bool


def begin(path: Path) -> list[Pair]:
    """The rows of a part. Raises `SystemExit` with the line of one that is none."""
    rows = given.rows(path, "knowledge", "response", check=lambda row: "" if "label" in row else "`label` is not there")
    return [Pair(row["knowledge"], row["response"], row["label"] in SUPPORTED) for row in rows]


def made(path: Path, count: int, seed: int) -> list[Pair]:
    """Sentences of SQuAD's paragraphs: as they are, shortened or reordered; from another paragraph, or falsified."""
    drawn = random.Random(seed)
    rows = drawn.sample(given.rows(path, "title", "text"), count)
    found: list[Pair] = []
    for row in rows:
        parts = split(row["text"])
        near = [other for other in rows if other["title"] == row["title"] and other is not row] or rows
        if len(parts) < 2:
            continue
        mine = drawn.choice(parts)
        other = drawn.choice(split(drawn.choice(near)["text"]) or parts)
        found += [
            Pair(row["text"], drawn.choice(LEADS) + shortened(mine, drawn), True),
            Pair(row["text"], drawn.choice(LEADS) + dropped(drawn.choice(parts), drawn), True),
            Pair(row["text"], other, other in parts), Pair(row["text"], _falsified(mine, other, drawn), False),
            Pair(row["text"], drawn.choice(CHAT).format(_name(mine, drawn)), False),
        ]  # fmt: skip
    return found


def _name(sentence: str, drawn: random.Random) -> str:
    words = [word.strip(',.;:()"') for word in sentence.split()]
    return drawn.choice([word for word in words if len(word) > 4] or words)


def split(text: str) -> list[str]:
    return [text[part.start : part.end] for part in sentences(text)]


def shortened(sentence: str, drawn: random.Random) -> str:
    clauses = sentence.split(", ")
    return sentence if len(clauses) < 2 else ", ".join(clauses[: drawn.randint(1, len(clauses))])


def dropped(sentence: str, drawn: random.Random) -> str:
    """Fewer words; figures and denials stay."""
    return " ".join(word for word in sentence.split() if drawn.random() > 0.12 or KEPT.search(word))


def _falsified(mine: str, other: str, drawn: random.Random) -> str:
    """A figure changed, a name put in another's place, a denial put in, or the second half from elsewhere."""
    names, others = NAME.findall(mine), [name for name in NAME.findall(other) if name not in mine]
    verb = next((verb for verb in VERBS if f" {verb} " in mine), None)
    words, theirs = mine.split(), other.split()
    found = [" ".join([*words[: len(words) // 2], *theirs[len(theirs) // 2 :]])]
    if any(char.isdecimal() for char in mine):
        found.append("".join(str((int(c) + drawn.randint(1, 8)) % 10) if c.isdecimal() else c for c in mine))
    if names and others:
        found.append(mine.replace(drawn.choice(names), drawn.choice(others)))
    if verb:
        found.append(mine.replace(f" {verb} ", f" {verb} not ", 1))
    return drawn.choice(found)


def table(encoder: Encoder, pairs: Sequence[Pair]) -> list[np.ndarray]:
    """For each pair the features of each of its answer's claims, (claims, features)."""
    texts = sorted({part for pair in pairs for text in (pair.evidence, pair.answer) for part in split(text)})
    states = dict(zip(texts, map(_support.unit, asyncio.run(encoder.states(texts))), strict=True))
    return [_features(pair, states, encoder) for pair in pairs]


def _features(pair: Pair, states: dict[str, Any], encoder: Encoder) -> np.ndarray:
    there = split(pair.evidence)
    evidence = _support.known(there)
    said = split(pair.answer)
    told = [sentence for sentence in said if _support.claims(sentence)] or said[:1]
    lines = [states[part] for part in there]
    return np.array(
        [_support.features(one, evidence, _support.odd(states[one][encoder.wordy(one)], lines)) for one in told]
        or [(0.0,) * (len(_support.NAMES) - 1) + (1.0,)]
    )


def worst(found: Iterable[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """P(supported) of each answer: its least sentence's."""
    return np.array([min(_support.probability(row, weights) for row in claims) for claims in found])


def fit(found: Sequence[np.ndarray], good: Sequence[bool]) -> list[float]:
    """Logistic regression by Newton's method; an answer's claims all bear its label."""
    x = np.concatenate(found)
    y = np.concatenate([np.full(len(claims), float(label)) for claims, label in zip(found, good, strict=True)])
    weights = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        slope = x.T @ (p - y) / len(x) + PENALTY * weights
        bend = (x * (p * (1 - p))[:, None]).T @ x / len(x) + PENALTY * np.eye(len(weights))
        weights = weights - np.linalg.solve(bend, slope)
    return [round(float(weight), 3) for weight in weights]


def auc(p: np.ndarray, good: Sequence[bool]) -> float:
    """Probability that a supported answer scores above another, ties half."""
    yes, no = p[np.array(good)], p[~np.array(good)]
    return float((yes[:, None] > no).mean() + (yes[:, None] == no).mean() / 2)


def error(p: np.ndarray, good: Sequence[bool], bins: int = 10) -> float:
    """Expected calibration error (Naeini et al. 2015)."""
    y, place = np.array(good, float), np.minimum((p * bins).astype(int), bins - 1)
    return float(sum((place == b).mean() * abs(p[place == b].mean() - y[place == b].mean()) for b in set(place)))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--fit", action="store_true", help="print weights and use them in place of the shipped")
    parser.add_argument("--out", type=Path, help="in place of results/grounding.json")
    asked = parser.parse_args(argv)
    found = [path for folder in (asked.data, asked.data / "guard") for path in sorted(folder.glob("ground*.jsonl"))]
    files = {path.stem.removeprefix("ground_begin_dev_"): path for path in found}
    if not files:
        print(f"Skipped, {RESULT.name} left as it was: no ground*.jsonl in {asked.data} (give --data).")
        return
    encoder, weights = Encoder.load(), _support.WEIGHTS
    if asked.fit:
        pairs = made(asked.data / "retrieval" / "squad2_docs.jsonl", PARAGRAPHS, 1)
        weights = tuple(fit(table(encoder, pairs), [pair.good for pair in pairs]))
        print(dict(zip(_support.NAMES, weights, strict=True)))
    sets = {part: pairs for part, path in files.items() if (pairs := begin(path))}
    rows = {part: table(encoder, pairs) for part, pairs in sets.items()}
    encoder.close()
    result = {part: _scored(part, sets, rows, weights) for part in sets}
    if not (out := asked.out or (RESULT if set(PARTS) <= set(sets) else None)):
        print(f"{RESULT.name} left as it was: not all of {', '.join(PARTS)} are there (give --out to keep this).")
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"weights": dict(zip(_support.NAMES, weights, strict=True)), **result}, indent=1) + "\n")


def _scored(part: str, sets: Any, found: Any, weights: Sequence[float]) -> dict[str, float | None]:
    """The figures of a part; those that need supported answers, or others, are None where it has none."""
    good = [pair.good for pair in sets[part]]
    others = [other for other in sets if other != part]
    p = worst(found[part], weights)
    if one_sort := len(set(good)) < 2:
        sort = "supported" if good[0] else f"other than {' or '.join(map(repr, SUPPORTED))}"
        print(f"{part}: every answer is {sort}, so that there is nothing to tell apart.")
    below, y = p < grounding.Options().threshold, np.array(good)
    row: dict[str, Any] = {
        "answers": len(good), "auc": None if one_sort else auc(p, good), "ece": error(p, good),
        "supported_doubted": below[y].mean() if y.any() else None,
        "others_doubted": None if y.all() else below[~y].mean(),
    }  # fmt: skip
    if others and not one_sort:
        learned = fit(
            [rows for other in others for rows in found[other]], [pair.good for other in others for pair in sets[other]]
        )
        row["auc_left_out"] = auc(worst(found[part], learned), good)
    row = {name: None if value is None else round(float(value), 3) for name, value in row.items()}
    print(f"{part}: {row}")
    return row


if __name__ == "__main__":
    main()
