"""A plan beside what the ledger saw: what it assumed (volume, lengths, escalation), what it promised (cost, times)."""

import json
from pathlib import Path
from typing import Any

from trimtab.errors import NotFoundError

LATEST = 10_000
"""Requests that are read."""
MONTH = 730 * 3600.0
CLOSE = 1.5
"""Times above or below an assumption that is still as planned."""
SHARE = 0.1
"""Difference of shares that is still as planned."""
HOUR = 3600.0


async def compared(recipe: str, file: Path) -> list[dict[str, Any]]:
    """One row a quantity: `ok` is None where there is nothing to hold it against. Raises `NotFoundError` where nothing
    was recorded yet."""
    from trimtab.cli import _ledger
    from trimtab.plan import needs
    from trimtab.record import _read

    wanted = needs.planned(file)
    predicted = _predicted(file)
    async with _ledger.opened(recipe) as store:
        rows = await _read.tail(store, LATEST)
    answers = [row for row in rows if row["outcome"] == "answer"]
    if len(answers) < 2:
        raise NotFoundError("The ledger has fewer than two answers: nothing to compare.", "Serve some traffic first.")
    found = [*_volume(rows, wanted), _near("prompts' tokens", wanted.prompt, _mean(answers, "prompt")),
             _near("answers' tokens", wanted.answer, _mean(answers, "completion")),
             _escalated(answers, wanted, predicted)]  # fmt: skip
    return found + _promised(answers, wanted, predicted)


def _predicted(file: Path) -> dict[str, Any]:
    """What the plan's JSON recommended; nothing where the file is constraints alone."""
    return json.loads(file.read_bytes()).get("recommended", {}) if file.suffix == ".json" else {}


def _volume(rows: list[dict[str, Any]], wanted: Any) -> list[dict[str, Any]]:
    """Requests a month, and the busiest hour over the mean, where an hour and a day of traffic were seen."""
    times = [row["at"] for row in rows]
    span = max(times) - min(times)
    if span <= HOUR:
        return []
    found = [_near("requests a month", wanted.requests, len(rows) / span * MONTH)]
    if span > 24 * HOUR:
        hours = [int(at // HOUR) for at in times]
        busiest, mean = max(map(hours.count, set(hours))), len(rows) / span * HOUR
        found.append(_near("busiest hour / mean", wanted.peak, busiest / mean))
    return found


def _escalated(answers: list[dict[str, Any]], wanted: Any, predicted: dict[str, Any]) -> dict[str, Any]:
    """Share of answers of the large model; a plan without one has nothing to escalate to."""
    hard = sum(row["answered_by"] in ("large", wanted.large) for row in answers) / len(answers)
    planned = wanted.escalated
    if predicted:
        planned = 1.0 if predicted["runtime"] == "api" else wanted.escalated if predicted["large"] else 0.0
    near = abs(planned - hard) <= SHARE
    return {"what": "escalated", "planned": round(planned, 3), "saw": round(hard, 3), "ok": near}


def _promised(answers: list[dict[str, Any]], wanted: Any, predicted: dict[str, Any]) -> list[dict[str, Any]]:
    times = sorted(row["ms"] / 1000 for row in answers)
    seen = times[min(len(times) - 1, int(0.95 * len(times)))]
    found = []
    if whole := predicted.get("figures", {}).get("whole_p95"):
        found.append({
            "what": "p95 end to end, s", "planned": f"{whole['low']:.3g} to {whole['high']:.3g}", "saw": round(seen, 2),
            "ok": seen <= whole["high"],
        })  # fmt: skip
    elif wanted.first_p95:
        pace = f" + {wanted.answer:g} tokens at {wanted.pace:g}/s" if wanted.pace else ""
        most = wanted.first_p95 + wanted.answer / wanted.pace if wanted.pace else None
        found.append({"what": "p95 end to end, s", "planned": f"{wanted.first_p95:g}{pace}", "saw": round(seen, 2),
                      "ok": None if most is None else seen <= most})  # fmt: skip
    costs = [float(row["cost_usd"]) for row in answers if row["cost_usd"] is not None]
    if not costs:
        return found
    mean = sum(costs) / len(costs)
    if predicted.get("runtime") == "api" and predicted["usd_month"]:
        found.append(_near("USD a request", predicted["usd_month"] / wanted.requests, mean))
    elif wanted.budget:
        found.append({"what": "USD a request", "planned": f"<= {wanted.budget / wanted.requests:.6g}",
                      "saw": round(mean, 6), "ok": mean <= wanted.budget / wanted.requests})  # fmt: skip
    return found


def _near(what: str, planned: float, saw: float) -> dict[str, Any]:
    near = planned / CLOSE <= saw <= planned * CLOSE
    return {"what": what, "planned": float(f"{planned:.6g}"), "saw": float(f"{saw:.6g}"), "ok": near}


def _mean(rows: list[dict[str, Any]], name: str) -> float:
    return sum(row["usage"][name] for row in rows) / len(rows)
