"""How soon a client that hangs up is noticed: milliseconds to the close of the connection upstream, and to the trace.

    python benchmarks/cancel.py [--rounds 25] [--out benchmarks/results/cancel.json]

Each round is a gateway of its own, streamed and not, with `openai_http` and `anthropic_http`; a phase is where the call
is when its client closes the connection. Client, gateway and the model's server share one event loop and one core: the
times of all three are in the figures. The parts are those of tests/wire/test_cancel.py.
"""

import argparse
import asyncio
import gc
import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "wire"))


async def measure(rounds: int) -> list[dict[str, Any]]:
    import test_cancel as parts

    rows: list[dict[str, Any]] = []
    for phase, run in parts.PHASES.items():
        cuts: list[Any] = []
        for kind in parts.KINDS:
            for stream in (True, False):
                for _ in range(rounds):
                    gc.collect()  # of the round before: a gateway is taken down with each
                    with tempfile.TemporaryDirectory() as home:
                        cuts.append(await run(Path(home), kind, stream))
        upstream = sorted(ms for cut in cuts for ms in cut.upstream)
        traces = sorted(cut.trace for cut in cuts)
        rows.append({
            "phase": phase, "calls": len(cuts), "cancelled": sum(cut.outcome == "cancelled" for cut in cuts),
            "upstream_ms": quantiles(upstream), "trace_ms": quantiles(traces),
        })  # fmt: skip
        show(rows[-1])
    return rows


def quantiles(values: list[float]) -> dict[str, float] | None:
    """By nearest rank; None where there is nothing upstream to close."""
    if not values:
        return None
    at = {"p50": len(values) // 2, "p99": min(len(values) - 1, int(0.99 * len(values))), "max": len(values) - 1}
    return {name: round(values[i], 2) for name, i in at.items()}


def show(row: dict[str, Any]) -> None:
    told = [row[name] or dict.fromkeys(("p50", "p99", "max"), "-") for name in ("upstream_ms", "trace_ms")]
    figures = " | ".join(f"{one[name]!s:>6}" for one in told for name in ("p50", "p99", "max"))
    print(f"| {row['phase']:<21} | {row['cancelled']:>4} of {row['calls']:<4} | {figures} |", flush=True)


def main() -> None:
    import uvloop

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "cancel.json")
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    print("| the client leaves     | cancelled    | upstream closed, ms: p50, p99, max | trace, ms: p50, p99, max |")
    print("|---|---|---|---|---|---|---|---|")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rows = runner.run(measure(asked.rounds))
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps({"benchmark": "cancel", "rows": rows}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
