"""A plan as one self-contained HTML page: inline SVG, no script, nothing fetched."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from trimtab.plan import choose, cost, crossing, deploy, prices, report
from trimtab.plan.choose import Plan
from trimtab.plan.figure import Figure

WIDTH, HEIGHT, EDGE = 640, 240, 44
COLOURS = ("#2563eb", "#d97706", "#059669", "#7c3aed", "#dc2626", "#0891b2")
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem;color:#111;"
    "background:#fff}"
    "h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;width:100%}"
    "td,th{text-align:left;padding:.25rem .5rem;border-bottom:1px solid #ddd;font-size:.9rem}"
    "svg{width:100%;height:auto}code{background:#f3f4f6;padding:.1rem .3rem;word-break:break-all}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#eee}td,th{border-color:#333}code{background:#222}}"
)
SOURCES = (
    ("models", "catalog/models.csv: configurations and published scores; each row names its source"),
    ("hardware", "catalog/hardware.csv: vendors' figures; rows that say 'verify' are from memory"),
    ("prices", "catalog/prices.csv: github.com/pydantic/genai-prices and simonw/llm-prices, each row with its date"),
    ("speed, power", "catalog/coefficients.json: fitted on measured rows; see docs/explanation/planner.md"),
)


def page(plan: Plan, stack: Mapping[str, Figure]) -> str:
    """The whole document."""
    parts = [
        f"<h1>{escape(plan.best.name)}</h1>", _figures(plan.figures), f"<p>Quality: {escape(report.right(plan))}.</p>",
        *(f"<p>Limits of time: {escape(says)}.</p>" for says in report.patience(plan)),
        "<h2>Cost by volume</h2>", _staircase(plan), "<h2>Time to the first token by load</h2>", _latency(plan),
    ]  # fmt: skip
    if stack:
        parts += ["<h2>Memory of each device</h2>", _stack(stack)]
    parts += [
        "<h2>What the cost rests on</h2>", _tornado(plan), "<h2>What would change the decision</h2>",
        "<ul>" + "".join(f"<li>{escape(flip.says)}</li>" for flip in plan.flips) + "</ul>",
        "<h2>Pareto front</h2>", _front(plan), "<h2>Rejected</h2>", _rejected(plan),
        "<h2>Run and check</h2>", f"<p><code>{escape(deploy.runs(plan))}</code></p>",
        f"<p><code>{escape(deploy.checks(plan))}</code></p>", "<h2>Assumptions</h2>", _assumptions(plan),
    ]  # fmt: skip
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
    return (
        f'<!doctype html><html lang="en"><head>{head}<title>Plan: {escape(plan.best.model)}</title>'
        f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _figures(found: Mapping[str, Figure]) -> str:
    rows = [
        (report.UNITS.get(name, name), report.ranged(figure), ", ".join(filter(None, (figure.tag, figure.why))))
        for name, figure in found.items()
    ]  # fmt: skip
    return _table(("figure", "low, central, high", "rests on"), rows)


def _staircase(plan: Plan) -> str:
    """USD a month of the plan and of the provider, from a tenth to a hundred times the volume."""
    needs, factors = plan.held, [10 ** (n / 20) for n in range(-20, 41)]
    own = [crossing.cost_at(plan.best, needs, plan.house, factor) for factor in factors]
    lines = [("this plan", [value or 0.0 for value in own])] if None not in own else []
    if listed := prices.find(needs.large):
        lines.append((needs.large, [cost.api(listed, needs.use.times(factor)) for factor in factors]))
    unpriced = "" if lines and lines[0][0] == "this plan" else _unpriced(plan)
    return unpriced + _chart([factor * needs.requests for factor in factors], lines, "requests a month", "USD a month")


def _unpriced(plan: Plan) -> str:
    return f"<p>What this plan costs is not known: no price of {escape(plan.best.device)} is listed.</p>"


def _latency(plan: Plan) -> str:
    factors = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
    found = [(factor, choose.simulated(plan.best, plan.needs, plan.needs.rate * factor)) for factor in factors]
    kept = [(factor, waits) for factor, waits in found if waits]
    if not kept:
        alone = "Each device has its own user: nobody waits for another."
        return f"<p>{'The provider scales; it publishes no times.' if plan.best.runtime == 'api' else alone}</p>"
    loads = [factor * plan.needs.rate for factor, _ in kept]
    lines = [("p50", [w.first_p50 for _, w in kept]), ("p95", [w.first_p95 for _, w in kept])]
    return _chart(loads, lines, "requests a second, on today's servers", "seconds")


def _stack(stack: Mapping[str, Figure]) -> str:
    parts = [(name, figure) for name, figure in stack.items() if name not in ("total", "tokens")]
    whole, at, bars = sum(figure.central for _, figure in parts) or 1.0, 0.0, []
    for index, (name, figure) in enumerate(parts):
        wide = figure.central / whole * WIDTH
        colour = COLOURS[index % len(COLOURS)]
        bars.append(f'<rect x="{at:.1f}" y="0" width="{wide:.1f}" height="36" fill="{colour}"/>')
        bars.append(
            f'<text x="4" y="{58 + 18 * index}" font-size="13" fill="{colour}">'
            f"{escape(name)}: {escape(report.shown(figure))}</text>"
        )
        at += wide
    return _svg("Memory by part", "".join(bars), 48 + 18 * len(parts))


def _tornado(plan: Plan) -> str:
    """How the month's cost moves when one assumption moves to its low and high."""
    if plan.best.cost is None:
        return _unpriced(plan)
    base, needs, house = plan.best.cost, plan.held, plan.house
    moved = {"volume x 0.5 to 2": [crossing.cost_at(plan.best, needs, house, factor) or 0.0 for factor in (0.5, 2.0)]}
    if figure := plan.figures.get("cost"):
        moved["price of hardware"] = [figure.low, figure.high]
    if plan.best.large:
        share = crossing.large_share(plan.best, needs)
        moved["escalated x 0.5 to 2"] = [base - share / 2, base + share]
    if not any(value for pair in moved.values() for value in pair):
        return "<p>Nothing is paid for it.</p>"
    lowest = min([base, *(value for pair in moved.values() for value in pair)])
    wide = max([base, *(value for pair in moved.values() for value in pair)]) - lowest or 1.0
    bars, inner = [], WIDTH - 16

    def across(value: float) -> float:
        return 8 + (value - lowest) / wide * inner

    for index, (name, (low, high)) in enumerate(sorted(moved.items(), key=lambda item: item[1][0] - item[1][1])):
        y = 44 * index
        bars.append(f'<text x="0" y="{y + 12}" font-size="13" fill="currentColor">{escape(name)}: '
                    f"USD {low:,.0f} to {high:,.0f}</text>")  # fmt: skip
        bars.append(f'<rect x="{across(low):.1f}" y="{y + 18}" width="{max(2.0, across(high) - across(low)):.1f}" '
                    f'height="16" fill="{COLOURS[index % len(COLOURS)]}"/>')  # fmt: skip
        bars.append(f'<path d="M{across(base):.1f} {y + 16}v20" stroke="currentColor" stroke-dasharray="3"/>')
    foot = 44 * len(moved) + 14
    bars.append(f'<text x="0" y="{foot}" font-size="12" fill="currentColor">dashed: USD {base:,.0f} as planned</text>')
    return _svg("Sensitivity of the cost", "".join(bars), foot + 6)


def _front(plan: Plan) -> str:
    rows = [
        (one.name, "unknown" if one.cost is None else f"{one.cost:,.0f}", f"{one.first_p95:.2f}",
         "?" if one.quality is None else f"{one.quality:.1f}") for one in plan.front
    ]  # fmt: skip
    return _table(("option", "USD a month", "p95 TTFT, s", f"{plan.needs.benchmark}, %"), rows)


def _rejected(plan: Plan) -> str:
    rows = [(name, f"{count:,}", why) for name, (count, why) in plan.rejected.items()]
    return _table(("constraint", "options", "nearest"), rows)


def _assumptions(plan: Plan) -> str:
    rows = [
        (name, ", ".join(map(str, value)) if isinstance(value, list | tuple) else _plain(value))
        for one in (plan.needs, plan.house) for name, value in report.plain(one).items() if value is not None
    ]  # fmt: skip
    listed = prices.find(plan.needs.large)
    charged = [(f"price of {listed.model}", _priced(listed))] if listed else []
    return _table(("what", "value"), [*rows, *charged, *SOURCES])


def _plain(value: object) -> str:
    """A value as people write it: 500,000 and not 500000.0."""
    return f"{value:,.12g}" if isinstance(value, float) else str(value)


def _priced(listed: prices.Listed) -> str:
    price = listed.price
    return f"USD {price.input:f} in, {price.output:f} out per million tokens; {listed.source}, seen {listed.seen}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _chart(at: Sequence[float], lines: Sequence[tuple[str, Sequence[float]]], across: str, up: str) -> str:
    """Lines over a common axis, both logarithmic: volumes and waits span powers of ten."""
    shown = [value for _, values in lines for value in values if value > 0] or [1.0]
    low, high = math.floor(math.log10(min(shown))), math.ceil(math.log10(max(shown)) + 1e-9)
    high = max(high, low + 1)
    inner, tall = WIDTH - EDGE - 8, HEIGHT - 40
    wide = math.log(at[-1] / at[0]) or 1.0

    def place(x: float, y: float) -> str:
        share = (math.log10(max(y, 10.0**low)) - low) / (high - low)
        return f"{EDGE + inner * math.log(x / at[0]) / wide:.1f},{10 + tall * (1 - share):.1f}"

    drawn = []
    for power in range(low, high + 1):
        y = 10 + tall * (1 - (power - low) / (high - low))
        drawn.append(f'<path d="M{EDGE} {y:.1f}H{WIDTH - 8}" stroke="currentColor" stroke-opacity="0.15"/>')
        drawn.append(f'<text x="{EDGE - 4}" y="{y + 4:.1f}" font-size="11" text-anchor="end" fill="currentColor">'
                     f"{_brief(10.0**power)}</text>")  # fmt: skip
    for index, (name, values) in enumerate(lines):
        points = " ".join(place(x, y) for x, y in zip(at, values, strict=True))
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[index]}" stroke-width="2"/>')
        drawn.append(f'<text x="{EDGE + 8}" y="{24 + 16 * index}" font-size="13" fill="{COLOURS[index]}">{escape(name)}'
                     "</text>")  # fmt: skip
    foot = f"{up} (upwards) by {across}: {_brief(at[0])} to {_brief(at[-1])}"
    drawn.append(f'<text x="{EDGE}" y="{HEIGHT - 8}" font-size="12" fill="currentColor">{escape(foot)}</text>')
    return _svg(f"{up} by {across}", "".join(drawn), HEIGHT)


def _brief(number: float) -> str:
    """A number of an axis: three digits, thousands and millions as such."""
    for size, sign in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.3g}{sign}"
    return f"{number:.3g}"


def _svg(title: str, inner: str, height: int) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}"><title>{escape(title)}</title>'
        f"{inner}</svg>"
    )
