"""Who answers a support desk's traffic, how often rightly, and at what cost: the starter recipe on held-out messages.

    python benchmarks/starter.py [--data ../shared/data] [--rows 300]

Traffic: `--rows` banking77 messages that no part of the skill was trained or calibrated on (the head's own held-out
split), as many CLINC150 questions that the desk has no business with (validation and out-of-scope rows, unseen in
training), and the handbook questions of tests/data/starter_questions.jsonl. No large model is configured: what no rung
takes waits for a person. Prints a table, writes benchmarks/results/starter.json and the chart docs/images/starter.svg.
Strict: an answer counts as right only with the message's own intent, or with the words a handbook question asks for;
a true answer by another rung counts as wrong, and so does any answer to what is none of the desk's business.
Costs at the large model are estimates: the answer's own tokens at the recipe's baseline price.
"""

import argparse
import asyncio
import json
import random
import re
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median

import msgspec

from trimtab import money
from trimtab.flow import run
from trimtab.settings import load
from trimtab.train.head import split
from trimtab.types import Answer, Request, Wishes
from trimtab.wiring import open_system

ROOT = Path(__file__).parents[1]
FILES = ("intent_banking77_train.jsonl", "intent_clinc150_val.jsonl", "intent_clinc150_oos_val.jsonl")
"""What is needed of `--data`, in its folder guard: docs/reference/data.md."""
SEED = 1  # the head's: the held-out part is the same rows
WHO = ("code", "skill", "reader", "person", "refused")
COLOURS = {"right": "#2a7f62", "wrong": "#c0392b", "person": "#d9a441", "refused": "#8a8f98"}


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    flags.add_argument("--rows", type=int, default=300)
    args = flags.parse_args()
    missing = [name for name in FILES if not (args.data / "guard" / name).is_file()]
    if missing:
        print(f"Skipped, starter.json left as it was: no {', '.join(missing)} in {args.data / 'guard'} (give --data).")
        return
    traffic = {
        "banking messages": banking(args.data, args.rows),
        "handbook questions": handbook(),
        "none of its business": elsewhere(args.data, args.rows),
    }
    found = {name: asyncio.run(answered(rows)) for name, rows in traffic.items()}
    for name, rows in found.items():
        for row in rows:
            if row["right"] is False:
                print(f"wrong: {name}: {row['ask']!r} -> {row['by']}: {row['said']!r}")
    report(found)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def banking(data: Path, rows: int) -> list[dict]:
    import numpy as np

    found = lines(data / "guard" / FILES[0])
    labels = sorted({row["label"] for row in found})
    _, _, held_out = split(np.array([labels.index(row["label"]) for row in found]), SEED)
    chosen = random.Random(SEED).sample(sorted(int(i) for i in held_out), rows)
    return [{"ask": found[i]["text"], "label": found[i]["label"]} for i in chosen]


def handbook() -> list[dict]:
    return lines(ROOT / "tests" / "data" / "starter_questions.jsonl")


def elsewhere(data: Path, rows: int) -> list[dict]:
    found = [row for name in FILES[1:] for row in lines(data / "guard" / name)]
    far = [row for row in found if row["label"] not in ours()]
    return [{"ask": row["text"], "label": None} for row in random.Random(SEED).sample(far, rows)]


def ours() -> set[str]:
    """CLINC150's banking and card intents: questions of the desk's own kind, as runs/banking77.sh lists them."""
    script = (ROOT / "runs" / "banking77.sh").read_text()
    return set(re.sub(r"\$ours,", "", ",".join(re.findall(r"^ours=(\S+)", script, re.MULTILINE))).split(","))


async def answered(rows: list[dict]) -> list[dict]:
    """Each row with who answered it, whether rightly (None: nobody answered), cost and baseline in nanodollars."""
    with tempfile.TemporaryDirectory() as home:
        settings = load("starter", {"TRIMTAB_HOME": home})
        discover = msgspec.structs.replace(settings.discover, loopback=False)
        async with open_system(msgspec.structs.replace(settings, discover=discover)) as system:
            await system.desk.retriever.ready()  # until then words alone decide
            return [await one(system, i, row) for i, row in enumerate(rows)]


async def one(system, i: int, row: dict) -> dict:
    request = Request(
        id=f"tr_bench_{i}", messages=({"role": "user", "content": row["ask"]},), wishes=Wishes(cache=False)
    )
    outcome, trace = await run(system.desk, request)
    if not isinstance(outcome, Answer):
        by, right = {"pending": "person", "refused": "refused"}[trace.outcome], None
        held = next((step for step in trace.steps if step.code == "high_impact"), None)
        return {"by": by, "right": right, "cost": trace.cost, "baseline": None, "ms": trace.ms, "held": bool(held)}
    return {"by": trace.answered_by, "right": is_right(row, outcome), "cost": trace.cost, "baseline": trace.baseline,
            "ms": trace.ms, "held": False, "ask": row["ask"], "said": outcome.label or outcome.text}  # fmt: skip


def is_right(row: dict, answer: Answer) -> bool:
    if "label" in row:
        return answer.label is not None and answer.label == row["label"]
    return bool(row.get("has")) and row["has"].lower() in (answer.text or "").lower()


def report(found: dict[str, list[dict]]) -> None:
    summary = {name: tally(rows) for name, rows in found.items()}
    columns = ("n", "answered", "right", "wrong", "person", "p50_ms")
    print(f"{'traffic':22}" + "".join(f"{column:>11}" for column in (*columns, "cost", "at large")))
    for name, each in summary.items():
        cells = (*(f"{each[column]:g}" for column in columns), money.show(each["cost"]), money.show(each["baseline"]))
        print(f"{name:22}" + "".join(f"{cell:>11}" for cell in cells))
    out = ROOT / "benchmarks" / "results" / "starter.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(summary, indent=2) + "\n")
    chart = ROOT / "docs" / "images" / "starter.svg"
    chart.parent.mkdir(exist_ok=True)
    chart.write_text(svg(summary))


def tally(rows: list[dict]) -> dict:
    answers = [row for row in rows if row["right"] is not None]
    return {
        "n": len(rows), "answered": len(answers), "right": sum(row["right"] for row in answers),
        "wrong": sum(not row["right"] for row in answers), "person": sum(row["by"] == "person" for row in rows),
        "held_for_impact": sum(row["held"] for row in rows), "refused": sum(row["by"] == "refused" for row in rows),
        "by": dict(Counter(row["by"] for row in rows)), "p50_ms": round(median(row["ms"] for row in rows), 1),
        "cost": money.total(row["cost"] for row in rows), "baseline": money.total(row["baseline"] for row in answers),
    }  # fmt: skip


def svg(summary: dict[str, dict]) -> str:
    """Stacked bars: what was answered rightly, wrongly, waits for a person, was refused."""
    bars, y = [], 46
    for name, each in summary.items():
        x, scale = 190, 430 / each["n"]
        bars.append(f'<text x="180" y="{y + 17}" text-anchor="end">{name} ({each["n"]})</text>')
        for key, colour in COLOURS.items():
            if width := each[key] * scale:
                share = round(100 * each[key] / each["n"])
                label = f'<text x="{x + 5:.1f}" y="{y + 17}" fill="#fff">{share} %</text>' if width > 34 else ""
                bars.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="24" fill="{colour}"/>{label}')
                x += width
        y += 36
    names = {
        "right": "answered, right",
        "wrong": "answered, wrong",
        "person": "waits for a person",
        "refused": "refused",
    }
    legend = "".join(
        f'<rect x="{40 + i * 150}" y="14" width="10" height="10" fill="{COLOURS[key]}"/>'
        f'<text x="{56 + i * 150}" y="23">{names[key]}</text>'
        for i, key in enumerate(COLOURS)
    )
    style = 'font-family="sans-serif" font-size="12" fill="#222"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 670 {y + 4}" {style}>'
        f'<rect width="670" height="{y + 4}" fill="#fff"/>{legend}{"".join(bars)}</svg>\n'
    )


if __name__ == "__main__":
    main()
