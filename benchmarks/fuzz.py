"""The state machines of tests/property and the edges where bytes of strangers are read, each for many minutes.

    python benchmarks/fuzz.py [--minutes 10] [--only budget sse ...] [--out benchmarks/results/fuzz.json]

Machines run on hypothesis; the edges (benchmarks/fuzz_targets.py) on atheris, which is fetched into a folder of its own
and is no dependency of ours: where it cannot be had, that is said and the edges are left out. A finding is printed with
what reproduces it, and the exit status is 1. Runs of `--only` are put beside the others of the file.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
ATHERIS = "atheris==3.0.0"
MACHINES = {
    "budget": ("test_quota_machine", "Budgets"), "idempotency": ("test_idempotency_machine", "Once"),
    "breaker": ("test_resilience", "Breaking"), "limit": ("test_resilience", "Limiting"),
    "choice": ("test_resilience", "Choosing"), "upstream": ("test_upstream_machine", "Asking"),
}  # fmt: skip
EDGES = ("sse", "json", "requests", "answers", "body", "http", "clients")
RUNS = re.compile(r"stat::number_of_executed_units: (\d+)")
COVERED = re.compile(r"cov: (\d+)")


def machine(name: str, seconds: float) -> dict[str, Any]:
    """Runs of one machine until the time is over; a finding ends it."""
    from hypothesis import HealthCheck, settings
    from hypothesis.stateful import run_state_machine_as_test

    sys.path.insert(0, str(ROOT / "tests" / "property"))
    module, kind = MACHINES[name]
    given = getattr(__import__(module), kind)
    runs, steps, end = 0, 0, time.monotonic() + seconds

    class Counted(given):
        """The same machine, whose runs are counted."""

        def __init__(self) -> None:
            nonlocal runs
            super().__init__()
            runs += 1

        def check_invariants(self, *more: Any) -> None:
            nonlocal steps
            super().check_invariants(*more)
            steps += 1

    long = settings(
        max_examples=50, stateful_step_count=60, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    while time.monotonic() < end:
        try:
            run_state_machine_as_test(Counted, settings=long)
        except BaseException as error:
            return {"runs": runs, "steps": steps, "finding": f"{type(error).__name__}: {error}"[-2000:]}
    return {"runs": runs, "steps": steps}


def edge(name: str, seconds: float, library: Path) -> dict[str, Any]:
    """One target under atheris until the time is over."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE / "fuzz_targets.py"), name, folder, f"-max_total_time={round(seconds)}"]
        command += ["-print_final_stats=1", "-max_len=600", "-len_control=10", f"-artifact_prefix={folder}/found-"]
        path = os.pathsep.join([str(ROOT / "src"), str(library), os.environ.get("PYTHONPATH", "")])
        ran = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
        )
        said = ran.stdout + ran.stderr
        runs, covered = RUNS.findall(said), COVERED.findall(said)
        found: dict[str, Any] = {"runs": int(runs[-1]) if runs else 0, "covered": int(covered[-1]) if covered else 0}
        if ran.returncode:
            inputs = [path.read_bytes().hex() for path in Path(folder).glob("found-*")]
            found["finding"] = f"input {', '.join(inputs)}: {said[-2000:]}"
        return found


def fetched(folder: Path) -> Path | None:
    """The folder with atheris in it, None where it cannot be had."""
    command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(folder), ATHERIS]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        print(f"No {ATHERIS}, so the edges are left out: {ran.stderr.strip()[-300:]}")
        return None
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--only", nargs="+", choices=(*MACHINES, *EDGES), default=(*MACHINES, *EDGES))
    parser.add_argument("--out", type=Path, default=HERE / "results" / "fuzz.json")
    asked = parser.parse_args()
    rows = json.loads(asked.out.read_text()) if asked.out.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        library = fetched(Path(folder)) if set(asked.only) & set(EDGES) else None
        print("| what | runs | steps or covered | finding |\n|---|---|---|---|")
        for name in asked.only:
            if name in EDGES and not library:
                continue
            began, seconds = time.monotonic(), asked.minutes * 60
            found = machine(name, seconds) if name in MACHINES else edge(name, seconds, library)  # type: ignore[arg-type]
            row = {"minutes": round((time.monotonic() - began) / 60, 1), **found}
            print(f"| {name} | {row['runs']:,} | {row.get('steps', row.get('covered')):,} "
                  f"| {row.get('finding', 'none')} |", flush=True)  # fmt: skip
            rows = keep(asked.out, name, row)
    sys.exit(any("finding" in row for row in rows.values()))


def keep(out: Path, name: str, row: dict[str, Any]) -> dict[str, Any]:
    """The file's rows with this one among them: several of these may run at a time."""
    rows = json.loads(out.read_text()) if out.exists() else {}
    rows[name] = row
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({each: rows[each] for each in (*MACHINES, *EDGES) if each in rows}, indent=2) + "\n")
    return rows


if __name__ == "__main__":
    main()
