"""A plan as one self-contained HTML page: inline SVG, no script, nothing fetched."""

from collections.abc import Mapping, Sequence
from html import escape

from trimtab.plan import choose, cost, deploy, prices, report
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
    ("prices", "catalog/prices.csv: github.com/simonw/llm-prices, each row with its date"),
    ("speed, power", "catalog/coefficients.json: fitted on measured rows; see docs/explanation/planner.md"),
)


def page(plan: Plan, stack: Mapping[str, Figure]) -> str:
    """The whole document."""
    parts = [
        f"<h1>{escape(plan.best.name)}</h1>", _figures(plan.figures), "<h2>Cost by volume</h2>", _staircase(plan),
        "<h2>Time to the first token by load</h2>", _latency(plan),
    ]  # fmt: skip
    if stack:
        parts += ["<h2>Memory of each server</h2>", _stack(stack)]
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
    rows = [(name, report.ranged(figure), f"{figure.tag} {figure.why}".strip()) for name, figure in found.items()]
    return _table(("figure", "low, central, high", "rests on"), rows)


def _staircase(plan: Plan) -> str:
    """USD a month of the plan and of the provider, from a tenth to a hundred times the volume."""
    needs, factors = plan.needs, [10 ** (n / 20) for n in range(-20, 41)]
    own = [choose.cost_at(plan.best, needs, plan.house, factor) or 0.0 for factor in factors]
    lines = [("this plan", own)]
    if listed := prices.find(needs.large):
        lines.append((needs.large, [cost.api(listed, needs.use.times(factor)) for factor in factors]))
    return _chart([factor * needs.requests for factor in factors], lines, "requests a month", "USD a month")


def _latency(plan: Plan) -> str:
    factors = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
    found = [(factor, choose.simulated(plan.best, plan.needs, plan.needs.rate * factor)) for factor in factors]
    kept = [(factor, waits) for factor, waits in found if waits]
    if not kept:
        return "<p>The provider scales; it publishes no times.</p>"
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
    base, needs, house = plan.best.cost or 0.0, plan.needs, plan.house
    moved = {"volume x 0.5 to 2": [choose.cost_at(plan.best, needs, house, factor) or 0.0 for factor in (0.5, 2.0)]}
    if figure := plan.figures.get("cost"):
        moved["price of hardware"] = [figure.low, figure.high]
    if plan.best.large:
        share = choose.large_share(plan.best, needs)
        moved["escalated x 0.5 to 2"] = [base - share / 2, base + share]
    top = max([base, *(value for pair in moved.values() for value in pair)]) or 1.0
    bars = []
    for index, (name, (low, high)) in enumerate(moved.items()):
        left, right, y = low / top * (WIDTH - 8), high / top * (WIDTH - 8), 44 * index
        bars.append(f'<text x="0" y="{y + 12}" font-size="13" fill="currentColor">{escape(name)}: '
                    f"USD {low:,.0f} to {high:,.0f}</text>")  # fmt: skip
        bars.append(f'<rect x="{left:.1f}" y="{y + 18}" width="{max(2.0, right - left):.1f}" height="16" '
                    f'fill="{COLOURS[index % len(COLOURS)]}"/>')  # fmt: skip
    return _svg("Sensitivity of the cost", "".join(bars), 44 * len(moved))


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
    rows: list[Sequence[str]] = [
        (name, str(value)) for one in (plan.needs, plan.house) for name, value in report.plain(one).items()
    ]
    return _table(("what", "value"), [*rows, *SOURCES])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _chart(at: Sequence[float], lines: Sequence[tuple[str, Sequence[float]]], across: str, up: str) -> str:
    """Lines over a common axis, linear upwards, by order across."""
    top = max(max(values) for _, values in lines) or 1.0
    inner = WIDTH - EDGE - 8
    drawn = []
    for index, (name, values) in enumerate(lines):
        colour = COLOURS[index]
        points = " ".join(
            f"{EDGE + inner * n / max(1, len(values) - 1):.1f},{HEIGHT - 30 - (HEIGHT - 50) * value / top:.1f}"
            for n, value in enumerate(values)
        )
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        drawn.append(f'<text x="{EDGE + 8}" y="{20 + 16 * index}" font-size="13" fill="{colour}">{escape(name)}</text>')
    axis = (
        f'<path d="M{EDGE} 10V{HEIGHT - 30}H{WIDTH - 8}" fill="none" stroke="currentColor"/>'
        f'<text x="{EDGE}" y="{HEIGHT - 12}" font-size="12" fill="currentColor">{_brief(at[0])} to {_brief(at[-1])} '
        f"{escape(across)}</text>"
        f'<text x="2" y="{HEIGHT - 34}" font-size="11" fill="currentColor">0</text>'
        f'<text x="2" y="18" font-size="11" fill="currentColor">{_brief(top)}</text>'
    )
    return _svg(f"{up} by {across}", axis + "".join(drawn), HEIGHT)


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
