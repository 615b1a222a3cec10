"""The reader on three made-up handbooks: the starter's bank, a workshop's, and an app's that was scored once.

    python benchmarks/handbooks.py [--data ../shared/data]

People's questions that the pages answer, some that they nearly answer, and 300 that are none of the pages' business
(CLINC150, validation and out of scope: benchmarks/starter.py's). Right is a quote of the page that answers,
with the words that do. Prints what is missed, writes benchmarks/results/handbooks.json: counts by the confidence from
which an answer is given. The starter's threshold was chosen on its own questions; the workshop's were looked at while
things were tried and left out; the app's (`notes`) only when all was done.
"""

import argparse
import asyncio
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from reader import lines, opened, put
from starter import FILES, elsewhere
from trimtab.answer import reader
from trimtab.settings import RECIPES

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests" / "data"
HANDBOOKS = {
    "starter": (RECIPES / "starter", TESTS / "starter_questions.jsonl"),
    "workshop": (TESTS / "workshop", TESTS / "workshop" / "questions.jsonl"),
    "notes": (TESTS / "notes", TESTS / "notes" / "questions.jsonl"),
}
THRESHOLDS = (0.45, 0.5, 0.55, 0.6, 0.7)


class Asked(NamedTuple):
    """`sort` is answerable, near or elsewhere; `sure` is 0 where nothing was found, or no question was asked."""

    sort: str
    sure: float
    right: bool


async def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    data = flags.parse_args().data
    if missing := [name for name in FILES if not (data / "guard" / name).is_file()]:
        print(f"Skipped, handbooks.json left as it was: no {', '.join(missing)} in {data / 'guard'} (give --data).")
        return
    others = [{"ask": row["ask"], "source": None, "sort": "elsewhere"} for row in elsewhere(data, 300)]
    found: dict[str, Any] = {}
    for name, (recipe, questions) in HANDBOOKS.items():
        with tempfile.TemporaryDirectory() as home:
            found[name] = tally(await asked(recipe, Path(home), [*lines(questions), *others]))
    print(json.dumps(found, indent=1))
    out = ROOT / "benchmarks" / "results" / "handbooks.json"
    out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


async def asked(recipe: Path, home: Path, rows: list[dict[str, Any]]) -> list[Asked]:
    """What the reader makes of the questions."""
    async with opened(recipe, "docs", home, words=False) as (found, reads):
        return [await one(row, found, reads) for row in rows]


async def one(row: dict[str, Any], found: Any, reads: reader.Reader) -> Asked:
    sort = row.get("sort", "near") if row["source"] is None else "answerable"
    if reader.unfit(row["ask"]):
        return Asked(sort, 0.0, right=False)
    ones, features = await reads.read(row["ask"], (await found.retrieve(put(row["ask"]))).passages)
    if not ones:
        return Asked(sort, 0.0, right=False)
    best, sure = reader.choose(features, reader.weighing(features))
    source, text = ones[best].one.passage.source, ones[best].text
    right = source == row["source"] and row["has"].lower() in text.lower()
    if (sort == "answerable") != (sure >= THRESHOLDS[1]) or (sure >= THRESHOLDS[1] and not right):
        print(f"{sure:.2f} {sort}: {row['ask']} -> {text[:90]!r}")
    return Asked(sort, sure, right)


def tally(rows: list[Asked]) -> dict[str, Any]:
    """How many there are of each sort, of how many the first choice is right, however sure; and what is answered."""
    counts = {}
    for at in THRESHOLDS:
        given = [row for row in rows if row.sure >= at]
        wrong = Counter(row.sort for row in given if not row.right)
        counts[str(at)] = {"right": sum(row.right for row in given), "wrong": dict(sorted(wrong.items()))}
    sorts = Counter(row.sort for row in rows)
    return {"questions": dict(sorted(sorts.items())), "chosen": sum(row.right for row in rows), "from": counts}


if __name__ == "__main__":
    asyncio.run(main())
