"""`trimtab route`: what the policy makes of a request, whether probes get their decisions, odds from outcomes."""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from trimtab.cli import _out, _recipe

if TYPE_CHECKING:
    from trimtab.odds.outcomes import Outcome
    from trimtab.wiring import System

PREVIEW = """Show what the policy makes of a request: what the guards say, the signals, the ladder and why.

No model is called and nothing is recorded."""
PROBE = """Run a recipe's probes.jsonl against its guards and its route.

Each probe names who must decide; without calling a model, a probe fails where the policy leaves that decider out."""

TRAIN = """Fit the odds that a model is right to labelled outcomes, for the kinds "learned" and "confidence".

OUTCOMES is a JSONL file; each model needs 100 outcomes or more. The share that is not trained on is what
`trimtab calibrate` uses of the same file."""

OUTCOMES = """Write the ledger's outcomes, JSON lines: shadow audits, and what people said of answers.

Only requests whose text was kept are there ([[record]] kind = "ledger", store_text = "redacted" or "full")."""

OPINION = typer.Option([], "--opinion", help="A model whose opinion may be asked; name#2: a second sample of name.")


def attach(app: typer.Typer) -> None:
    verb = typer.Typer(
        name="route", help="What the policy makes of a request, with no model called; odds from outcomes."
    )
    verb.command("preview", help=PREVIEW)(preview)
    verb.command("probe", help=PROBE)(probe)
    verb.command("train", help=TRAIN)(train)
    verb.command("outcomes", help=OUTCOMES)(outcomes)
    app.add_typer(verb)


def preview(
    ask: str = typer.Argument(help="The request's text."),
    model: str = typer.Option("auto", "--model", "-m", help="A model's name, or auto."),
    recipe: str = _recipe.OPTION,
    json: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    shown = asyncio.run(_preview(recipe, ask, model))
    if json:
        _out.emit(shown)
    else:
        _show(shown)


def probe(
    word: str = _recipe.WORD,
    recipe: str = _recipe.NAMED,
    json: bool = typer.Option(False, "--json", help="JSON lines on stdout, one a probe."),
) -> None:
    rows = asyncio.run(_probe(_recipe.chosen(word, recipe)))
    for row in rows:
        if json:
            _out.emit(row)
        else:
            mark = "ok  " if row["ok"] else "FAIL"
            print(f"{mark} {row['ask'][:60]!r}: wants {' or '.join(row['expected'])}, got {row['got']}")
    failed = sum(not row["ok"] for row in rows)
    _out.say(f"{len(rows) - failed} of {len(rows)} probes get their decision.")
    raise typer.Exit(1 if failed else 0)


def train(
    outcomes: str = typer.Argument(help="Labelled outcomes, JSON lines."),
    out: str = typer.Option("odds", "--out", help="The folder to write."),
    share: float = typer.Option(0.6, "--share", help="Share of the questions to train on."),
    opinion: list[str] = OPINION,
    json: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    from trimtab.encode.encoder import Encoder
    from trimtab.errors import ConfigError
    from trimtab.odds import calibration
    from trimtab.odds.outcomes import read

    if not 0 < share <= 1:
        raise ConfigError(f"--share {share} is no share.", "Give one above 0, up to 1.")
    rows, encoder = calibration.split(read(Path(outcomes)), share), Encoder.load()
    try:
        odds = calibration.learnt(rows, encoder, Path(out), tuple(opinion))
    finally:
        encoder.close()
    asked, answered = odds.models(said=False), odds.models(said=True)
    weighed = [{"model": key.model, "against": key.other, "opinions": key.opinions, "outcomes": side.rows}
               for key, side in odds.sides.items() if key.opinions]  # fmt: skip
    if json:
        _out.emit({"out": out, "asked": asked, "answered": answered, "opinions": weighed})
        return
    for name, count in asked.items():
        seen = f", of {answered[name]} with the answer too" if name in answered else ""
        print(f"{name}: from {count} outcomes{seen}")
    for one in weighed:
        if one["against"]:
            told = f"{one['model']} beside {one['against']}, with {', '.join(one['opinions'])}"
            print(f"{told}: from {one['outcomes']} outcomes")


def outcomes(
    out: str = typer.Argument("outcomes.jsonl", help="The file to write."),
    audited: bool = typer.Option(
        False, "--audited", help="Shadow audits alone: a fair sample, for calibrate and replay."
    ),
    days: float = typer.Option(0.0, "--days", min=0.0, help="Of the last days only; 0 is all."),
    recipe: str = _recipe.OPTION,
    json: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    import msgspec

    from trimtab.errors import ConfigError

    found = [one for one in asyncio.run(_outcomes(recipe, days)) if not audited or len(one.right) > 1]
    if not found:
        fix = "Keep texts (store_text), and have a [[contract]] or feedback; see docs/how-to/calibrate.md."
        raise ConfigError("The ledger has no outcome whose text was kept.", fix)
    Path(out).write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in found))
    both = sum(len(one.right) > 1 for one in found)
    if json:
        _out.emit({"out": out, "outcomes": len(found), "audited": both})
    else:
        print(f"{len(found)} outcomes, {both} of them from shadow audits, in {out}")


async def _outcomes(recipe: str, days: float) -> "list[Outcome]":
    from trimtab import settings
    from trimtab.cli import _ledger
    from trimtab.record import _outcomes as reading

    contracts = {one.name: one for one in settings.load(recipe).contracts}
    async with _ledger.opened(recipe) as store:
        return await reading.outcomes(store, contracts, time.time() - days * 86400 if days else 0.0)


async def _preview(recipe: str, ask: str, model: str) -> dict[str, Any]:
    from trimtab import settings
    from trimtab.cli import _preview as rehearsal
    from trimtab.wiring import open_system

    async with open_system(rehearsal.dry(settings.load(recipe)), _out.say) as system:
        asked = rehearsal.request(ask, model=model)
        trace = await rehearsal.preview(system.desk, asked)
        return _shape(trace, asked, await _about(system, ask) if trace.decision else [])


async def _about(system: "System", ask: str) -> list[dict[str, Any]]:
    """What the heads make of the question, as signals; no rule can ask for them."""
    from trimtab.odds.about import about

    began = time.perf_counter()
    found = about((await system.encoder.gist([ask]))[0], ask).likeliest()
    us = (time.perf_counter() - began) * 1e6 / len(found)
    return [{"name": name, "value": value, "us": us} for name, value in found.items()]


def _shape(trace: Any, asked: Any, about: list[dict[str, Any]]) -> dict[str, Any]:
    import msgspec

    from trimtab.route._signals import signals

    decision = msgspec.to_builtins(trace.decision) if trace.decision else {}
    seen = [*msgspec.to_builtins(signals(asked, timed=True)), *about] if decision else []
    told = [one for one in decision.get("signals", []) if one["name"] not in {found["name"] for found in seen}]
    guards = [step for step in msgspec.to_builtins(trace.steps) if step["stage"] == "guard"]
    return {
        "refused": {"code": trace.code, "why": trace.why} if trace.outcome == "refused" else None,
        "ladder": decision.get("ladder", []), "reasons": decision.get("reasons", []),
        "left_out": decision.get("left_out", {}), "impact": decision.get("impact", "low"),
        "signals": [*seen, *told], "guards": guards,
    }  # fmt: skip


def _show(shown: dict[str, Any]) -> None:
    for step in shown["guards"]:
        print(f"guard    {step['by']}: {'ok' if step.get('ok', True) else step.get('why', '')}  {step['ms']:.2f} ms")
    if shown["refused"]:
        print(f"refused  {shown['refused']['code']}: {shown['refused']['why']}")
        return
    print(f"ladder   {' > '.join(shown['ladder']) or 'nobody'}")
    print(f"reasons  {', '.join(shown['reasons']) or 'none'}")
    print(f"impact   {shown['impact']}")
    for name, reason in shown["left_out"].items():
        print(f"left out {name}: {reason}")
    for signal in shown["signals"]:
        took = f"  {signal['us']:.1f} us" if signal.get("us") else ""
        print(f"signal   {signal['name']} = {signal['value']}{took}")


async def _probe(recipe: str) -> list[dict[str, Any]]:
    from trimtab import settings
    from trimtab.cli import _preview as rehearsal
    from trimtab.cli import _probes
    from trimtab.wiring import open_system

    loaded = settings.load(recipe)
    probes = _probes.read(loaded.folder)
    async with open_system(rehearsal.dry(loaded), _out.say) as system:
        return [await _tried(system, probe) for probe in probes]


async def _tried(system: Any, probe: Any) -> dict[str, Any]:
    from trimtab.cli import _preview as rehearsal

    trace = await rehearsal.preview(system.desk, rehearsal.request(probe.ask, params=probe.params))
    expected = probe.expect.deciders
    impact = str(trace.decision.impact) if trace.decision else None
    ok = rehearsal.possible(trace, expected, person=system.desk.approver is not None)
    ok = ok and probe.expect.impact in (None, impact)
    ladder = trace.decision.ladder if trace.decision else ()
    got = "refused" if trace.outcome == "refused" else " > ".join(ladder) or "nobody"
    return {"ask": probe.ask, "expected": list(expected), "got": got, "impact": impact, "ok": ok}
