"""A plan as text and as plain values for JSON."""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from trimtab.plan import deploy, devices
from trimtab.plan.architecture import ATTENDS, Architecture
from trimtab.plan.choose import Plan
from trimtab.plan.figure import Figure
from trimtab.plan.load import Waits
from trimtab.plan.option import PERSONAL, Option

UNITS = {
    "pace": "decode", "first": "first token", "first_p95": "first token, p95", "token_p95": "a token, p95",
    "whole_p95": "whole, p95", "watts": "power", "joules": "energy", "cost": "cost", "loss": "wrong ones",
}  # fmt: skip


def values(plan: Plan, stack: Mapping[str, Figure]) -> dict[str, Any]:
    """The plan as JSON's values; names of fields are part of the schema that `--json` promises."""
    return {
        "needs": plain(plan.needs), "house": plain(plan.house), "considered": plan.considered,
        "limits": {"first_p95_s": plan.held.latest, "tokens_s": plan.held.slowest},
        "recommended": option(plan.best) | {"figures": figures(plan.figures), "memory_stack": figures(stack)},
        "front": [option(one) for one in plan.front],
        "rejected": {name: {"options": count, "nearest": why} for name, (count, why) in plan.rejected.items()},
        "growth": {
            name: {"usd_month": money, "servers": servers, "on_todays_servers": _waits(waits)}
            for name, (money, waits, servers) in plan.growth.items()
        },
        "flips": [plain(flip) for flip in plan.flips],
        "run": deploy.runs(plan), "ollama": deploy.ollama(plan), "check": deploy.checks(plan),
    }  # fmt: skip


def text(plan: Plan, stack: Mapping[str, Figure], explain: Mapping[str, str] | None = None) -> list[str]:
    """Lines for a terminal: the answer first."""
    lines = [f"Recommended: {plan.best.name}", ""]
    lines += [f"  {UNITS.get(name, name):16} {shown(figure)}" for name, figure in plan.figures.items()]
    lines.append(f"  {'quality':16} {right(plan)}")
    if plan.needs.quality is None and plan.needs.least:
        lines.append(f"  {'':16} models below {plan.needs.least:g} % were left out: --quality asks for another limit")
    lines += [f"  {'limits of time':16} {says}" for says in patience(plan)]
    if stack:
        lines += ["", "Memory of each device:"]
        lines += [f"  {name:16} {shown(figure)}" for name, figure in stack.items()]
    lines += ["", "Load:"]
    for name, (money, waits, servers) in plan.growth.items():
        lines.append(
            f"  {name:4} {_money(money):>14} a month, {_hardware(plan.best, servers)}; {_load(waits, plan.best)}"
        )
    flips = [flip.says for flip in plan.flips] or ["nothing that was tried"]
    lines += ["", "What would change the decision:", *(f"  {says}" for says in flips)]
    lines += ["", f"Pareto front ({plan.considered:,} options considered):"]
    lines += [
        f"  {_money(one.cost):>14}  p95 {one.first_p95:6.2f} s  {_right(one):>7}  {one.name}" for one in plan.front
    ]
    lines += ["", "Rejected:"] + [f"  {name}: {count:,}; nearest {why}" for name, (count, why) in plan.rejected.items()]
    lines += ["", "Run:", f"  {deploy.runs(plan)}"]
    if also := deploy.ollama(plan):
        lines.append(f"  {also}")
    lines += ["Check:", f"  {deploy.checks(plan)}"]
    if explain:
        lines += ["", "Terms:"] + [f"  {name}: {says}" for name, says in explain.items()]
    return lines


def right(plan: Plan) -> str:
    """The recommended option's quality in words."""
    best, needs = plan.best, plan.needs
    if best.quality is None:
        asked = f"; {needs.quality:g} % was asked for" if needs.quality else ""
        return f"unknown: no score of {best.model} on {needs.benchmark} is listed{asked}"
    routed = " (estimated after routing)" if best.large else ""
    return f"{best.quality:.1f} % on {needs.benchmark}{routed}"


def patience(plan: Plan) -> list[str]:
    """What is said of limits of time that nobody asked for; nothing where all were."""
    needs, best, assumed = plan.needs, plan.best, {}
    if needs.first_p95 is None and needs.latest:
        assumed["--first-p95"] = f"{needs.latest:g} s to the first token (p95)"
    if needs.pace is None and needs.slowest:
        assumed["--pace"] = f"{needs.slowest:g} tokens/s"
    if not assumed:
        return []
    what, flags = " and ".join(assumed.values()), " and ".join(assumed)
    if (plan.held.latest, plan.held.slowest) != (needs.latest, needs.slowest):
        this = f"p95 here is {best.first_p95:.3g} s, at {best.pace:.3g} tokens/s"
        return [f"nothing that meets the rest gives {what}, as someone who waits expects: {this}"]
    return [f"{what}, assumed for someone who waits; {flags}: others, or 0 for none"]


def option(one: Option) -> dict[str, Any]:
    """An option's plain values."""
    return {
        "name": one.name, "model": one.model, "precision": one.precision, "runtime": one.runtime, "device": one.device,
        "gpus": one.gpus, "servers": one.servers, "routing": one.routing,
        "large": one.large, "draft": one.draft, "quality": one.quality,
        "memory_mib": round(one.memory, 1), "usable_mib": round(one.usable, 1), "tokens_s": round(one.pace, 2),
        "first_s": round(one.first, 4), "first_p95_s": round(one.first_p95, 4), "usd_month": one.cost,
        "watts": one.watts, "evidence": "calibrated" if one.known else "extrapolated",
    }  # fmt: skip


def figures(found: Mapping[str, Figure]) -> dict[str, Any]:
    """Figures by name; an infinite edge is None."""
    return {name: {key: _finite(value) for key, value in plain(one).items()} for name, one in found.items()}


def explained(shape: Architecture, stack: Mapping[str, Figure]) -> dict[str, str]:
    """Each term of the memory stack, and from what it follows."""
    kinds = {layer.mixer for layer in shape.layers} - {"none"}
    about = {
        "layers": f"{len(shape.layers)} ({', '.join(sorted(kinds))}), width {shape.hidden}, vocabulary {shape.vocab}"
    }
    windows = sorted({layer.window for layer in shape.layers if layer.window})
    if windows:
        local = sum(bool(layer.window) for layer in shape.layers)
        about["windows"] = f"{local} layers see {windows[0]} tokens; their cache is a ring"
    shared = sum(not layer.caches and layer.mixer in ATTENDS for layer in shape.layers)
    if shared:
        about["shared"] = f"{shared} layers read another one's cache"
    return about | {name: f"{figure.why or 'sum'} [{figure.tag}]" for name, figure in stack.items()}


def shown(figure: Figure) -> str:
    """A figure on one line, with its interval and tag."""
    return f"{ranged(figure)} [{figure.tag}]"


def ranged(figure: Figure) -> str:
    """A figure with its interval, if it has one."""
    central = f"{_number(figure.central)} {figure.unit}"
    return central if figure.tag == "exact" else f"{central} ({_number(figure.low)} to {_number(figure.high)})"


def _waits(waits: Waits | None) -> dict[str, Any] | None:
    if waits is None:
        return None
    return {key: value for key, value in plain(waits).items() if key not in ("firsts", "wholes")} | {
        "stable": waits.stable
    }


def _hardware(one: Option, servers: int) -> str:
    if one.runtime == "api":
        return "none of your own"
    if devices.find(one.device).kind in PERSONAL:
        return f"{servers:,} device{'s' * (servers != 1)} at work at once in the busiest hour"
    return f"{servers:,} server{'s' * (servers != 1)}"


def _load(waits: Waits | None, one: Option) -> str:
    if waits is None:
        return "a provider scales" if one.runtime == "api" else "each has its own user: nobody waits for another"
    if not waits.stable:
        return f"today's servers do not keep up: {waits.bottleneck} binds"
    return (
        f"today's servers, p50 and p95: TTFT {waits.first_p50:.2f} and {waits.first_p95:.2f} s, TPOT "
        f"{waits.token_p50 * 1000:.0f} and {waits.token_p95 * 1000:.0f} ms, end to end {waits.whole_p50:.1f} and "
        f"{waits.whole_p95:.1f} s; {waits.busy:.0%} busy, {waits.bottleneck} binds first"
    )


def plain(value: msgspec.Struct) -> dict[str, Any]:
    return msgspec.to_builtins(value)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _money(value: float | None) -> str:
    return "USD unknown" if value is None else f"USD {value:,.0f}"


def _right(one: Option) -> str:
    return "?" if one.quality is None else f"{one.quality:.1f} %"


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "unbounded"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
