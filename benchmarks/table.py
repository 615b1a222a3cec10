"""The table of benchmarks/gateway.py: its rows from what the rounds measured, medians over them, and the bars."""

from collections.abc import Callable
from statistics import median
from typing import Any

Round = dict[str, Any]
"""What one round measured, by gateway."""
BARS = {
    "requests/s per core, over nginx": ("0.20", "0.35"),
    "requests/s per core, over LiteLLM's best": ("80", "150"),
    "added p50 at 1 connection, over nginx's added": ("4", "3"),
    "SSE in bulk: CPU per chunk, over nginx": ("2", "1.5"),
    "SSE paced: CPU per chunk, over nginx": ("2", "1.5"),
    "added time to first token, ms": ("1.5", "1"),
    "chunk transit p99, 8 paced streams, ms": ("2", "1"),
    "streams of 100 tokens/s kept on pace (97 %; 512 at most tried)": ("128", "190"),
    "memory per worker, MB": ("80", "60"),
}
"""What was asked of the gateway, and what was hoped for."""


def rows(rounds: list[Round]) -> dict[str, dict[str, float]]:
    """Row -> gateway -> median over the rounds; a gateway without a figure is left out of the row."""
    names = list(dict.fromkeys(name for one in rounds for name in one))
    return {
        row: {name: median(values) for name in names if (values := _values(figure, rounds, name))}
        for row, figure in FIGURES.items()
    }


def _values(figure: "Figure", rounds: list[Round], name: str) -> list[float]:
    values = (figure(one, name) for one in rounds if name in one)
    return [value for value in values if value is not None]


Figure = Callable[[Round, str], float | None]


def _plain(*path: str) -> Figure:
    """What lies at a path in a gateway's figures."""

    def figure(one: Round, name: str) -> float | None:
        value: Any = one[name]
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return value  # pyright: ignore[reportUnknownVariableType]

    return figure


def _per_core(one: Round, name: str) -> float | None:
    """Requests for a second of the gateway's CPU at 32 connections."""
    spent = one[name]["whole_32"].get("cpu_us_per_request")
    return 1e6 / spent if spent else None


def _added(figure: Figure, scale: float = 1.0) -> Figure:
    """What is on top of `direct`."""

    def more(one: Round, name: str) -> float | None:
        here, direct = figure(one, name), figure(one, "direct")
        return None if here is None or direct is None or name == "direct" else (here - direct) * scale

    return more


def _over(figure: Figure, other: str) -> Figure:
    """A figure over another gateway's in the same round."""

    def ratio(one: Round, name: str) -> float | None:
        if other not in one or name in ("direct", other):
            return None
        here, there = figure(one, name), figure(one, other)
        return here / there if here is not None and there else None

    return ratio


def _over_litellm(one: Round, name: str) -> float | None:
    best = max((_per_core(one, other) or 0.0 for other in one if other.startswith("litellm")), default=0.0)
    here = None if name == "direct" or name.startswith("litellm") else _per_core(one, name)
    return here / best if here and best else None


_P50 = _added(_plain("whole_1", "p50_us"))
_BULK, _PACED = _plain("bulk", "cpu_us_per_chunk"), _plain("paced", "cpu_us_per_chunk")


FIGURES: dict[str, Figure] = {
    "requests/s at 1 connection": _plain("whole_1", "per_second"),
    "requests/s at 32 connections": _plain("whole_32", "per_second"),
    "requests/s at 128 connections": _plain("whole_128", "per_second"),
    "requests/s per core at 32 connections": _per_core,
    "requests/s per core, over nginx": _over(_per_core, "nginx"),
    "requests/s per core, over LiteLLM's best": _over_litellm,
    "added p50 at 1 connection, us": _P50,
    "added p50 at 1 connection, over nginx's added": _over(_P50, "nginx"),
    "SSE in bulk: chunks/s": lambda one, name: one[name]["bulk"]["chunks"] / one[name]["bulk"]["seconds"],
    "SSE in bulk: CPU per chunk, us": _BULK,
    "SSE in bulk: CPU per chunk, over nginx": _over(_BULK, "nginx"),
    "SSE paced: CPU per chunk, us": _PACED,
    "SSE paced: CPU per chunk, over nginx": _over(_PACED, "nginx"),
    "added time to first token, ms": _added(_plain("first", "first_ms", "p50")),
    "chunk transit p50, 8 paced streams, ms": _plain("paced", "transit_ms", "p50"),
    "chunk transit p99, 8 paced streams, ms": _plain("paced", "transit_ms", "p99"),
    "streams of 100 tokens/s kept on pace (97 %; 512 at most tried)": _plain("pace", "streams"),
    "memory per worker, MB": _plain("rss_mb"),
}


def failures(rounds: list[Round]) -> list[str]:
    """The loads in which requests failed, and how many."""
    return [
        f"{name}, {load}, round {number}: {run['errors']} failed {run.get('first_error', '')}"
        for number, one in enumerate(rounds, 1)
        for name, runs in one.items()
        for load, run in runs.items()
        if isinstance(run, dict) and run.get("errors")  # pyright: ignore[reportUnknownMemberType]
    ]


def show(rows: dict[str, dict[str, float]], about: dict[str, Any], skipped: dict[str, str], failed: list[str]) -> None:
    """Print the table, and what one must know to read it."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    print(f"| {' | '.join(['what', *names, 'bar', 'stretch'])} |")
    print("|---" * (len(names) + 3) + "|")
    for row, values in rows.items():
        cells = [_cell(values.get(name)) for name in names]
        print(f"| {' | '.join([row, *cells, *BARS.get(row, ('', ''))])} |")
    machine, run = about["machine"], about["run"]
    print(f"\n{about['date']}; {machine['cpu']}, {machine['cores']} cores, kernel {machine['kernel']}.")
    print(f"Medians of {run['rounds']} rounds of {run['seconds']:g} s a load; {about['tools']}.")
    for name, peer in about["peers"].items():
        print(f"- {name} ({peer['version']}): {peer['configuration']}")
    for name, why in skipped.items():
        print(f"- {name}: skipped, {why}")
    for line in failed:
        print(f"- {line}")


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
