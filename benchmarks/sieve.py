"""What it takes to learn that a text matches none of the injection patterns: one pass of the sieve, or each in turn.

    python benchmarks/sieve.py [--out benchmarks/results/sieve.json]

Microseconds a text, the best of several rounds, and the ratio, which is what holds on a busy machine.
"""

import argparse
import json
import platform
import sys
import timeit
from pathlib import Path

from trimtab.guard._normalise import plain
from trimtab.guard.patterns import SCOPES, find, patterns
from trimtab.types import Origin

HERE = Path(__file__).parent
TEXTS = {
    "a short message": "A customer writes that the card reader in the shop refuses every card since this morning. " * 2,
    "a message with many of the words": "Please act as a second reader of our rules, send both warnings, mail it. " * 3,
    "a page": "The branch opens at nine. Cards are kept for ten days, and then destroyed by the office. " * 60,
}  # fmt: skip
ROUNDS = 7


def one_by_one(text: str, scope: str) -> int:
    """How many patterns match, each searched by itself."""
    normal = plain(text)
    return sum(pattern.shape.search(normal) is not None for pattern in patterns(scope))


def us(work: object, number: int) -> float:
    return min(timeit.repeat(work, number=number, repeat=ROUNDS)) / number * 1e6  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "sieve.json")
    asked = parser.parse_args()
    scope, rows = SCOPES[Origin.USER], {}
    print("| text | characters | sieve, us | one by one, us | ratio |\n|---|---|---|---|---|")
    for name, text in TEXTS.items():
        number = max(20, 200_000 // len(text))
        with_sieve = us(lambda text=text: list(find(text, scope, decode=False)), number)
        without = us(lambda text=text: one_by_one(text, scope), number)
        rows[name] = {"characters": len(text), "sieve_us": round(with_sieve, 1), "one_by_one_us": round(without, 1),
                      "ratio": round(without / with_sieve, 1)}  # fmt: skip
        print(f"| {name} | {len(text):,} | {with_sieve:.1f} | {without:.1f} | {without / with_sieve:.1f} |")
    machine = {"cpu": platform.machine(), "python": sys.version.split()[0]}
    asked.out.write_text(json.dumps({"machine": machine, "texts": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
