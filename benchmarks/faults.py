"""The matrix of faults: 16 ways to fail, streamed or not, small or large, alone or with a second rung.

    python benchmarks/faults.py [--out benchmarks/results/faults.json]

Every call goes over HTTP through a whole gateway to a peer that really breaks; the cases and what each must end as are
those of tests/wire/test_faults_matrix.py, which fails where this table says no.
"""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "wire"))


def main() -> None:
    import test_faults_matrix as matrix

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "faults.json")
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as home:
        found = asyncio.run(matrix.run(Path(home)))
    rows = [row(matrix, found, case) for case in matrix.CASES]
    counted = passes(matrix.test_the_ledger_has_every_request_once_and_the_peers_count_every_call, found)
    show(rows, counted)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps({"cells": rows, "ledger_exact": counted}, indent=2) + "\n")


def row(matrix: Any, found: Any, case: Any) -> dict[str, Any]:
    end = found[0][case.model]
    said = end.code or ("answer" if end.clean else "cut")
    return {
        "fault": case.fault.name, "stream": case.stream, "large": case.large, "spare": case.spare, "end": said,
        "status": end.status, "ok": passes(matrix.test_a_fault_ends_as_it_must, found, case),
    }  # fmt: skip


def passes(test: Any, *given: Any) -> bool:
    try:
        test(*given)
    except AssertionError:
        return False
    return True


def show(rows: list[dict[str, Any]], counted: bool) -> None:
    print("| fault | alone: whole | alone: stream | with a second rung | cells as documented |")
    print("|---|---|---|---|---|")
    for name in dict.fromkeys(row["fault"] for row in rows):
        mine = [row for row in rows if row["fault"] == name]
        ends = {(row["stream"], row["spare"]): f"{row['end']} ({row['status']})" for row in mine if not row["large"]}
        good = sum(row["ok"] for row in mine)
        print(f"| {name} | {ends[False, False]} | {ends[True, False]} | {ends[True, True]} | {good} of {len(mine)} |")
    good = sum(row["ok"] for row in rows)
    print(f"{good} of {len(rows)} cells as documented; ledger and peers count the same: {'yes' if counted else 'no'}")


if __name__ == "__main__":
    main()
