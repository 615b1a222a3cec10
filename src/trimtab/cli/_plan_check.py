"""A plan's assumptions beside what the ledger saw: volume, lengths, latency, escalation, cost of a request."""

from pathlib import Path
from typing import Any

from trimtab.errors import NotFoundError

LATEST = 10_000
"""Requests that are read."""
MONTH = 730 * 3600.0
CLOSE = 1.5
"""Times above or below the plan that is still as planned."""
SHARE = 0.1
"""Difference of shares that is still as planned."""


async def compared(recipe: str, file: Path) -> list[dict[str, Any]]:
    """One row a quantity. Raises `NotFoundError` where nothing was recorded yet."""
    from trimtab.cli import _ledger
    from trimtab.plan import needs
    from trimtab.record import _read

    wanted = needs.planned(file)
    async with _ledger.opened(recipe) as store:
        rows = await _read.tail(store, LATEST)
    answers = [row for row in rows if row["outcome"] == "answer"]
    if len(answers) < 2:
        raise NotFoundError("The ledger has fewer than two answers: nothing to compare.", "Serve some traffic first.")
    span = max(row["at"] for row in rows) - min(row["at"] for row in rows)
    times = sorted(row["ms"] / 1000 for row in answers)
    names = [row["answered_by"] for row in answers]
    hard = sum(name == "large" or name == wanted.large for name in names) / len(names)
    found = [_row("answers' tokens", wanted.answer, _mean(answers, "completion")),
             _row("prompts' tokens", wanted.prompt, _mean(answers, "prompt")),
             _share("escalated", wanted.escalated, hard)]  # fmt: skip
    if span > 3600:
        found.insert(0, _row("requests a month", wanted.requests, len(rows) / span * MONTH))
    if wanted.first_p95:
        seen = times[min(len(times) - 1, int(0.95 * len(times)))]
        found.append({
            "what": "p95 end to end, s", "planned": f">= {wanted.first_p95:g}", "saw": round(seen, 2),
            "ok": seen <= wanted.first_p95 + wanted.answer / 5,
        })  # fmt: skip
    costs = [float(row["cost_usd"]) for row in answers if row["cost_usd"] is not None]
    if costs and wanted.budget:
        found.append(_most("USD a request", wanted.budget / wanted.requests, sum(costs) / len(costs)))
    return found


def _row(what: str, planned: float, saw: float) -> dict[str, Any]:
    near = planned / CLOSE <= saw <= planned * CLOSE
    return {"what": what, "planned": round(planned, 2), "saw": round(saw, 2), "ok": near}


def _share(what: str, planned: float, saw: float) -> dict[str, Any]:
    return {"what": what, "planned": round(planned, 3), "saw": round(saw, 3), "ok": abs(planned - saw) <= SHARE}


def _most(what: str, planned: float, saw: float) -> dict[str, Any]:
    return {"what": what, "planned": round(planned, 6), "saw": round(saw, 6), "ok": saw <= planned}


def _mean(rows: list[dict[str, Any]], name: str) -> float:
    return sum(row["usage"][name] for row in rows) / len(rows)
