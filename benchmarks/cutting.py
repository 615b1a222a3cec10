"""How far `cut` and `flag` of the grounding verifier go: `benchmarks/cutting.py --data DIR`.

Answers are made of SQuAD 2.0's paragraphs, as a model that was given numbered passages writes them: four sentences,
each citing its passage, and each by chance supported or not. Supported: as it stands there, shortened, with words
dropped or led in. Not: a figure changed, a name put in another's place, a denial put in, the second half from
elsewhere, a sentence of another paragraph, or a true one with a wrong number. They go through the verifier itself.
Paragraphs from which its weights were fitted (benchmarks/grounding.py --fit) are left out. Real models err otherwise;
a paraphrase in other words is not among the supported ones. Intervals are Wilson's, 95 %. SQuAD 2.0, CC BY-SA 4.0.
"""

import argparse
import asyncio
import json
import math
import random
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

import grounding as made
from trimtab import wiring
from trimtab.answer._grounded import cited
from trimtab.encode.encoder import Encoder
from trimtab.types import Answer, Evidence, Passage, Request
from trimtab.verify import grounding
from trimtab.verify._cited import FLAG

RESULT = Path(__file__).parent / "results" / "cutting.json"
SENTENCES, BAD = 4, 0.3
LONGEST = 250  # characters of a sentence; much longer ones the verifier reads in parts


class Said(NamedTuple):
    """A sentence of an answer, the passage that it cites, and what was done to it; "" at the front is supported."""

    text: str
    cites: int
    kind: str
    good: bool


def figure(mine: str, _: str, drawn: random.Random) -> str:
    """One number is another."""
    numbers = list(re.finditer(r"\d+", mine))
    if not numbers:
        return mine
    one = drawn.choice(numbers)
    changed = "".join(str((int(char) + drawn.randint(1, 8)) % 10) for char in one[0])
    return mine[: one.start()] + changed + mine[one.end() :]


def name(mine: str, other: str, drawn: random.Random) -> str:
    """One name inside of the sentence is another's."""
    names = list(made.NAME.finditer(mine))
    others = [found for found in made.NAME.findall(other) if found not in mine]
    if not names or not others:
        return mine
    one = drawn.choice(names)
    return mine[: one.start()] + drawn.choice(others) + mine[one.end() :]


def denial(mine: str, _: str, __: random.Random) -> str:
    words = mine.split()
    at = next((i for i, word in enumerate(words) if word in ("is", "are", "was", "were", "has", "had", "can")), None)
    return mine if at is None else " ".join([*words[: at + 1], "not", *words[at + 1 :]])


def half(mine: str, other: str, _: random.Random) -> str:
    words, theirs = mine.split(), other.split()
    return " ".join([*words[: len(words) // 2], *theirs[len(theirs) // 2 :]])


FALSE: dict[str, Callable[[str, str, random.Random], str]] = {
    "a figure": figure, "a name": name, "a denial": denial, "half": half, "elsewhere": lambda _, other, __: other,
}  # fmt: skip
TRUE: dict[str, Callable[[str, random.Random], str]] = {
    "as it is": lambda mine, _: mine, "shortened": made.shortened, "words dropped": made.dropped,
    "led in": lambda mine, drawn: drawn.choice(made.LEADS[3:]) + mine,
}  # fmt: skip


def answers(rows: Sequence[dict[str, Any]], count: int, seed: int) -> Iterator[tuple[list[Said], list[Passage]]]:
    """Answers with their passages: four that are cited, and two more."""
    drawn = random.Random(seed)
    for _ in range(count):
        some = drawn.sample(rows, SENTENCES + 2)
        passages = [Passage(text=row["text"], source=f"{i}.md", start=0, end=len(row["text"]))
                    for i, row in enumerate(some, 1)]  # fmt: skip
        yield [_said(at, some, drawn) for at in range(SENTENCES)], passages


def _said(at: int, some: Sequence[dict[str, Any]], drawn: random.Random) -> Said:
    parts, others = _plain(some[at]["text"]), _plain(some[drawn.randrange(SENTENCES, len(some))]["text"])
    mine, other = drawn.choice(parts), drawn.choice(others)
    if drawn.random() >= BAD:
        kind = drawn.choice(list(TRUE))
        return Said(TRUE[kind](mine, drawn), at + 1, kind, True)
    kind = drawn.choice([*FALSE, "a wrong number"])
    if kind == "a wrong number":
        return Said(mine, SENTENCES + 1, kind, False)
    for one in (mine, *parts):  # one that has a figure, a name
        if (text := FALSE[kind](one, other, drawn)) != one:
            return Said(text, at + 1, kind, False)
    return Said(mine, at + 1, "as it is", True)


def _plain(text: str) -> list[str]:
    """Its sentences of usual length, without brackets, which would be citations."""
    found = made.split(re.sub(r"\[[^\]]*\]", "", text))
    return [one for one in found if len(one.split()) > 5 and len(one) < LONGEST]


def written(one: Said) -> str:
    return f"{one.text.rstrip('.!? ')} [{one.cites}]."


async def measured(
    encoder: Encoder, rows: Sequence[dict[str, Any]], home: Path, asked: argparse.Namespace
) -> dict[str, Any]:
    tools = msgspec.structs.replace(wiring.bench_tools(home), name="grounding", encoder=lambda: encoder)
    flags, cuts = (grounding.build(grounding.Options(unsupported=how, most=most), tools)
                   for how, most in (("flag", 1.0), ("cut", 0.5)))  # fmt: skip
    marked: dict[tuple[bool, str], list[bool]] = {}
    before = after = whole = escalated = lost = kept = 0
    for said, passages in answers(rows, asked.answers, asked.seed):
        text, evidence = " ".join(map(written, said)), Evidence(passages=tuple(passages))
        answer = Answer(text=text, model="m", citations=cited(text, evidence.passages))
        request = Request(id="r", messages=({"role": "user", "content": "What is known of it?"},))
        verdict = await flags.verify(request, evidence, answer)
        shown = (verdict.answer or answer).text or ""
        if not all(written(one) in shown for one in said):
            continue  # a sentence that was read as two
        for one in said:
            marked.setdefault((one.good, one.kind), []).append(written(one) + FLAG in shown)
        verdict = await cuts.verify(request, evidence, answer)
        whole += 1
        before += all(one.good for one in said)
        if not verdict.ok:
            escalated += 1
            continue
        left = [one for one in said if written(one) in ((verdict.answer or answer).text or "")]
        after += all(one.good for one in left)
        kept += sum(one.good for one in left)
        lost += sum(one.good for one in said) - sum(one.good for one in left)
    return {
        "sentences": {("supported: " if good else "not: ") + kind: share(found)
                      for (good, kind), found in sorted(marked.items(), key=lambda one: (not one[0][0], one[0][1]))},
        "all supported": share([hit for (good, _), found in marked.items() if good for hit in found]),
        "all others": share([hit for (good, _), found in marked.items() if not good for hit in found]),
        "answers": whole, "wholly supported before": round(before / whole, 3), "doubted as a whole": escalated,
        "wholly supported after the cut, of the others": round(after / max(1, whole - escalated), 3),
        "supported sentences lost in them": round(lost / max(1, lost + kept), 3),
    }  # fmt: skip


def share(found: Sequence[bool]) -> dict[str, Any]:
    """How many of them were marked, with Wilson's interval of 95 %."""
    n, p, z = len(found), sum(found) / max(1, len(found)), 1.96
    middle, spread = (
        (p + z * z / (2 * n)) / (1 + z * z / n),
        z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)),
    )
    return {"n": n, "marked": round(p, 3), "interval": [round(middle - spread, 3), round(middle + spread, 3)]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--answers", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    file = asked.data / "retrieval" / "squad2_docs.jsonl"
    if not file.is_file():
        print(f"Skipped, cutting.json left as it was: no {file.name} in {asked.data}/retrieval (give --data).")
        return
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    fitted = {row["text"] for row in random.Random(1).sample(rows, made.PARAGRAPHS)}
    rows = [row for row in rows if row["text"] not in fitted and _plain(row["text"])]
    encoder = Encoder.load()
    with tempfile.TemporaryDirectory() as home:
        result = asyncio.run(measured(encoder, rows, Path(home), asked))
    encoder.close()
    for name_, found in result["sentences"].items():
        print(f"{name_:<28} {found['marked']:.3f} of {found['n']:<4} {found['interval']}")
    print(json.dumps({name_: found for name_, found in result.items() if name_ != "sentences"}, indent=1))
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
