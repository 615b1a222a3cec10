"""`trimtab replay`: what other policies, prices or models would have cost and kept on recorded traffic."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from trimtab.cli import _out, _recipe

if TYPE_CHECKING:
    from trimtab.evaluate._estimate import Interval
    from trimtab.evaluate.replay import Replayed

HELP = """Show what policies would have cost and kept on recorded outcomes, before one is switched on.

OUTCOMES is a JSONL file; a policy is a recipe, whose router, thresholds and prices are tried with no model called, or
always:MODEL. Rows on which a policy's odds were trained are left out. With --ledger the shadow audits of a contract of
-r take the file's place; a policy is then threshold:P, a recipe, whose threshold and prices are tried, or always:MODEL.
Where the rows do not tell, that is the answer."""

POLICY = typer.Option(..., "--policy", help="A recipe, always:MODEL or threshold:P; may be given again.")


def attach(app: typer.Typer) -> None:
    app.command("replay", help=HELP)(replay)


def replay(
    outcomes: str = typer.Argument("", help="Recorded outcomes, JSON lines.", show_default=False),
    policy: list[str] = POLICY,
    large: str = typer.Option("", "--large", help="The model to compare quality with.", show_default=False),
    ledger: bool = typer.Option(False, "--ledger", help="Use the shadow audits of the recipe's contract."),
    contract: str = typer.Option("default", "--contract", help="The contract's name, with --ledger."),
    days: float = typer.Option(0.0, "--days", min=0.0, help="Audits of the last days only; 0 is all."),
    recipe: str = _recipe.OPTION,
    confidence: float = typer.Option(0.9, "--confidence", help="How sure the intervals must be."),
    json: bool = typer.Option(False, "--json", help="JSON lines on stdout, one a policy."),
) -> None:
    import msgspec

    if ledger:
        found = asyncio.run(_audited(recipe, contract, days, policy, confidence))
    else:
        if not (outcomes and large):
            raise typer.BadParameter("OUTCOMES and --large must be given, or --ledger.")
        found = asyncio.run(_replayed(outcomes, policy, large, confidence))
    for row in found:
        if json:
            _out.emit(msgspec.to_builtins(row))
        else:
            _show(row, confidence)


async def _replayed(outcomes: str, policies: list[str], large: str, confidence: float) -> "list[Replayed]":
    from trimtab.evaluate import replay as replaying
    from trimtab.odds.outcomes import read

    known = read(Path(outcomes))
    rows = replaying.unseen(policies, known)
    if lost := len(known) - len(rows):
        _out.say(f"{lost} of {len(known)} rows are left out: odds of the policies were trained on their questions.")
    return [
        replaying.replay(await replaying.walked(policy, rows, _out.say), rows, large, confidence) for policy in policies
    ]


async def _audited(recipe: str, contract: str, days: float, policies: list[str], confidence: float) -> "list[Replayed]":
    from trimtab.cli import _ledger
    from trimtab.evaluate import _audits
    from trimtab.evaluate import replay as replaying
    from trimtab.route import _audited

    one, found = await _ledger.audits(recipe, contract, days)
    kept = _audited.sample(found)
    rows = _audits.outcomes(kept, one)
    return [replaying.replay(_audits.policy(name, kept, one), rows, one.large, confidence) for name in policies]


def _show(found: "Replayed", confidence: float) -> None:
    print(f"policy    {found.policy}")
    print(f"rows      {found.rows}, of {found.seen} the outcome was seen ({found.effective:.0f} of equal weight)")
    if found.left_out:
        print(f"left out  {', '.join(found.left_out)}: what they check cannot be checked again here")
    if found.status != "ok":
        print(f"quality   insufficient data: {found.why}")
    else:
        print(f"quality   {_told(found.quality)}, between at a confidence of {confidence:.3g}")
        print(f"kept      {_told(found.kept)} of {found.large}'s")
    print(f"cost      {_told(found.cost, 6)} USD a request")
    print(f"by        {found.large} {found.share:.1%}, nobody {found.nobody:.1%}")


def _told(interval: "Interval | None", digits: int = 3) -> str:
    if interval is None:
        return "unknown"
    return f"{interval.value:.{digits}f} ({interval.low:.{digits}f} to {interval.high:.{digits}f})"
