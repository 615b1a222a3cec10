"""`trimtab replay`: what other policies, prices or models would have cost and kept on recorded traffic."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from trimtab.cli import _out

if TYPE_CHECKING:
    from trimtab.evaluate._estimate import Interval
    from trimtab.evaluate.replay import Replayed
    from trimtab.odds.outcomes import Outcome

HELP = """Show what policies would have cost and kept on recorded outcomes, before one is switched on.

OUTCOMES is a JSONL file. A policy is a recipe, whose router, thresholds and prices are tried with no model called, or
always:MODEL. Where the rows do not tell, that is the answer."""


POLICY = typer.Option(..., "--policy", help="A recipe, or always:MODEL; may be given again.")


def attach(app: typer.Typer) -> None:
    app.command("replay", help=HELP)(replay)


def replay(
    outcomes: str = typer.Argument(help="Recorded outcomes, JSON lines."),
    policy: list[str] = POLICY,
    large: str = typer.Option(..., "--large", help="The model to compare quality with."),
    confidence: float = typer.Option(0.9, "--confidence", help="How sure the intervals must be."),
    json: bool = typer.Option(False, "--json", help="JSON lines on stdout, one a policy."),
) -> None:
    import msgspec

    from trimtab.odds.outcomes import read

    rows = read(Path(outcomes))
    for found in asyncio.run(_replayed(rows, policy, large, confidence)):
        if json:
            _out.emit(msgspec.to_builtins(found))
        else:
            _show(found, large, confidence)


async def _replayed(
    rows: "tuple[Outcome, ...]", policies: list[str], large: str, confidence: float
) -> "list[Replayed]":
    from trimtab.evaluate import replay as replaying

    return [
        replaying.replay(await replaying.walked(policy, rows, _out.say), rows, large, confidence) for policy in policies
    ]


def _show(found: "Replayed", large: str, confidence: float) -> None:
    print(f"policy    {found.policy}")
    print(f"rows      {found.rows}, of {found.seen} the outcome was seen ({found.effective:.0f} of equal weight)")
    if found.left_out:
        print(f"left out  {', '.join(found.left_out)}: what they check cannot be checked again here")
    if found.status != "ok":
        print(f"quality   insufficient data: {found.why}")
    else:
        print(f"quality   {_told(found.quality)}, between at a confidence of {confidence:.3g}")
        print(f"kept      {_told(found.kept)} of {large}'s")
    print(f"cost      {_told(found.cost, 6)} USD a request")
    print(f"by        {large} {found.share:.1%}, nobody {found.nobody:.1%}")


def _told(interval: "Interval | None", digits: int = 3) -> str:
    if interval is None:
        return "unknown"
    return f"{interval.value:.{digits}f} ({interval.low:.{digits}f} to {interval.high:.{digits}f})"
