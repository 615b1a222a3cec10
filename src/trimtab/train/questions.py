"""What the span head is trained, calibrated and tested on: questions with a passage, and where the answer stands in it.

SQuAD 2.0 (Rajpurkar et al. 2018, CC BY-SA 4.0), whole articles in one part, chosen by a hash of the title; questions
made by rule from the texts of the training part (`cloze.py`); and SNLI's sentence pairs as e-SNLI gives them (Camburu
et al. 2018, SNLI CC BY-SA 4.0), which say what follows from a text and what only looks as if it did.
"""

# ruff: noqa: S311 - seeded draws of training texts
import gzip
import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from trimtab.sentences import terms
from trimtab.train.asked import Question
from trimtab.train.cloze import clozes, names, near_miss

FIRST = {"made": 4000, "follows": 5000}
"""Rows of the first pass, which teaches to look across, by sort; and of each later pass beside people's questions."""
LATER = {"made": 300, "follows": 600, "near": 800, "withheld": 400}


def part_of(title: str) -> str:
    """Six in ten articles train, one in ten calibrates, three in ten test."""
    digit = hashlib.sha256(title.encode()).digest()[1] % 10
    return "calibrate" if digit == 0 else "test" if digit in (1, 8, 9) else "train"


def squad(data: Path) -> list[Question]:
    """Every question with its own paragraph."""
    docs = read(data, "docs")
    return [_question(query, docs[query["doc"]]) for query in read(data, "queries")]


def titles(data: Path, part: str) -> list[str]:
    """The articles of one part that questions are asked of."""
    return sorted({one.title for one in squad(data) if one.part == part})


def read(data: Path, name: str) -> list[dict[str, Any]]:
    """`squad2_<name>`. Raises `FileNotFoundError` where `data` lacks it."""
    lines = (data / "retrieval" / f"squad2_{name}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def passes(data: Path, seed: int, count: int) -> Iterator[list[Question]]:
    """The training rows of each pass: first mostly what was made by rule, then mostly what people asked."""
    asked = [one for one in squad(data) if one.part == "train"]
    tested = {one.title for one in squad(data) if one.part != "train"}
    texts = [(doc["text"], doc["title"]) for doc in read(data, "docs") if doc["title"] not in tested]
    others = [name for text, _ in texts for name in names(text)]
    chance = random.Random(seed)
    made, follows = list(_made(texts, others, chance)), list(_follows(data))
    chance.shuffle(made)
    yield made[: FIRST["made"]] + chance.sample(follows, FIRST["follows"])
    for _ in range(count):
        yield [
            *asked,
            *chance.sample(made, LATER["made"]),
            *chance.sample(follows, LATER["follows"]),
            *_near(asked, others, LATER["near"], chance),
            *_withheld(asked, LATER["withheld"], chance),
        ]


def _question(query: dict[str, Any], doc: dict[str, Any]) -> Question:
    spans = [(at, at + len(said)) for at, said in zip(query["starts"], query["answers"], strict=True)]
    return Question(query["q"], doc["text"], spans, doc["title"], part_of(doc["title"]))


def _made(texts: Sequence[tuple[str, str]], others: Sequence[str], chance: random.Random) -> Iterator[Question]:
    """Clozes of every text; a third as near misses, a tenth beside another text."""
    for text, title in texts:
        for one in clozes(text, title, chance, most=max(3, min(12, len(text) // 90))):
            drawn = chance.random()
            missed = near_miss(one, chance, chance.sample(others, 5)) if drawn < 0.33 else None
            apart = chance.choice(texts)[0] if drawn > 0.9 else text
            yield missed or (one if apart == text else one._replace(text=apart, spans=[]))


def _follows(data: Path) -> Iterator[Question]:
    """A statement and a sentence from which it follows, or does not."""
    path = data / "training" / "esnli_palm540b_valid.jsonl.gz"
    for row in map(json.loads, gzip.decompress(path.read_bytes()).decode().splitlines()):
        here = row["gold"] == "entailment"
        yield Question(row["hypothesis"], row["premise"], [], "snli", "train", follows=here)


def _near(asked: Sequence[Question], others: Sequence[str], count: int, chance: random.Random) -> Iterator[Question]:
    for one in chance.sample([one for one in asked if one.spans], count):
        if missed := near_miss(one, chance, chance.sample(others, 3)):
            yield missed


def _withheld(asked: Sequence[Question], count: int, chance: random.Random) -> Iterator[Question]:
    """A question beside the paragraph of its article that shares most words with it and does not hold the answer."""
    texts: dict[str, set[str]] = {}
    for one in asked:
        texts.setdefault(one.title, set()).add(one.text)
    known = {text: set(terms(text)) for kept in texts.values() for text in kept}
    for one in chance.sample([one for one in asked if one.spans], count):
        said = {one.text[start:end].casefold() for start, end in one.spans}
        rest = [text for text in sorted(texts[one.title]) if not any(a in text.casefold() for a in said)]
        if rest:
            words = set(terms(one.ask))
            yield one._replace(text=max(rest, key=lambda text: len(words & known[text])), spans=[])
