"""`trimtab calibrate`: from labelled outcomes or shadow audits to the threshold that keeps a promise on quality."""

import asyncio
import math
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from trimtab.cli import _out, _recipe

if TYPE_CHECKING:
    from trimtab.odds.fitted import Odds
    from trimtab.route._contract import Calibrated, Contract, Rows

HELP = """Find the cheapest threshold that keeps the promised share of the large model's quality.

OUTCOMES is a JSONL file; rows that the odds were trained on are left out. With --ledger the shadow audits of a recipe's
contract take its place. Where the rows are too few to show anything, that is the answer, and everything is to go to the
large model."""

OPINION = typer.Option([], "--opinion", help="Opinions that may be asked, as the odds were trained with them.")
AROUND = typer.Option(
    None, "--around", min=0.0, max=1.0, help="Threshold around which they are asked; else found on the trained rows."
)


def attach(app: typer.Typer) -> None:
    app.command("calibrate", help=HELP)(calibrate)


def calibrate(
    outcomes: str = typer.Argument("", help="Labelled outcomes, JSON lines.", show_default=False),
    odds: str = typer.Option("", "--odds", help="The folder that `trimtab route train` wrote.", show_default=False),
    small: str = typer.Option("", "--small", help="The small model's name in the file.", show_default=False),
    large: str = typer.Option("", "--large", help="The large model's name in the file.", show_default=False),
    ledger: bool = typer.Option(False, "--ledger", help="Use the shadow audits of the recipe's contract."),
    contract: str = typer.Option("default", "--contract", help="The contract's name, with --ledger."),
    days: float = typer.Option(0.0, "--days", min=0.0, help="Audits of the last days only; 0 is all."),
    recipe: str = _recipe.OPTION,
    keep: float = typer.Option(0.98, "--keep", help="Share of the large model's quality to keep."),
    confidence: float = typer.Option(0.9, "--confidence", help="How sure the promise must be."),
    max_cost: float | None = typer.Option(None, "--max-cost", help="USD a request on average, at most."),
    opinion: list[str] = OPINION,
    around: float | None = AROUND,
    method: str = typer.Option("betting", "--method", help="betting, exact or clt (an approximation)."),
    json: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    import msgspec

    from trimtab.errors import ConfigError
    from trimtab.route import _contract

    if ledger and opinion:
        raise typer.BadParameter("--opinion goes with OUTCOMES: in the ledger the scores are there as they were given.")
    if method not in _contract.METHODS:
        raise ConfigError(f"--method {method!r} is none.", f"Methods are: {', '.join(_contract.METHODS)}.")
    if ledger:
        rows, small, large, unread = asyncio.run(_audits(recipe, contract, days))
    else:
        unread = 0
        rows, around = _file(outcomes, odds, small, large, tuple(opinion), around, keep)
    try:
        promise = _contract.Contract(keep=keep, confidence=confidence, max_cost=max_cost)
        found = _contract.calibrate(rows, promise, _contract.METHODS[method])
    except ValueError as error:
        raise ConfigError(str(error), "See `trimtab calibrate --help`.") from error
    if json:
        shown = msgspec.to_builtins(found)
        shown |= {"unread": unread} if ledger else {}
        shown |= {"opinions": opinion, "around": around} if opinion else {}
        _out.emit(shown | {"threshold": None if found.status == "insufficient_data" else found.threshold})
    else:
        print(f"rows       {found.rows} {'shadow audits' if ledger else 'that the odds have not seen'}")
        if unread:
            print(f"unread     {unread} audits without marks that can be read: the small answer counts as wrong there")
        _show(found, promise, small, large)
        if opinion and found.status != "insufficient_data":
            print(f"opinions   opinions = {list(opinion)}, around = {around:.4f}".replace("'", '"'))


def _file(
    outcomes: str, odds: str, small: str, large: str, opinions: tuple[str, ...], around: float | None, keep: float
) -> "tuple[Rows, float | None]":
    """The rows of a file that the odds have not seen, and the threshold around which opinions are asked.

    Raises `ConfigError`, `BadParameter` for what is not given.
    """
    from trimtab.encode.encoder import Encoder
    from trimtab.odds import calibration, fitted
    from trimtab.odds.outcomes import having, read
    from trimtab.route._contract import Rows

    given = {"OUTCOMES": outcomes, "--odds": odds, "--small": small, "--large": large}
    if lacking := [name for name, value in given.items() if not value]:
        raise typer.BadParameter(f"{', '.join(lacking)} must be given, or --ledger.")
    rows = calibration.unseen(having(read(Path(outcomes)), small, large), Path(odds))
    fitting, encoder = fitted.Odds.load(Path(odds)), Encoder.load()
    around = _around(fitting, small, large, keep) if opinions and around is None else around
    try:
        return Rows(**calibration.columns(rows, fitting, encoder, small, large, opinions, around or 0.0)), around
    finally:
        encoder.close()


def _around(odds: "Odds", small: str, large: str, keep: float) -> float:
    """The cheapest threshold that keeps so much on the rows that were trained on, each scored while it was left out.

    It only says where opinions are asked. As it is no function of the calibration's rows, what they show still holds.
    """
    from trimtab.route import _contract

    side = odds.side(small, large, said=True)
    if side is None:
        return keep
    score, one, other = side.held.T
    unknown = score * float("nan")
    rows = _contract.Rows(score=score, small=one, large=other, small_cost=unknown, large_cost=unknown)
    return min(_contract.plain(rows, keep), 1.0)


async def _audits(recipe: str, contract: str, days: float) -> "tuple[Rows, str, str, int]":
    """The rows of a contract's shadow audits, its two models, and in how many rows no marks could be read."""
    from trimtab.cli import _ledger
    from trimtab.grade import UNREAD
    from trimtab.route import _audited

    one, found = await _ledger.audits(recipe, contract, days)
    unread = sum(audit.how == UNREAD for audit in _audited.sample(found))
    return _audited.rows(found), one.small, one.large, unread


def _show(found: "Calibrated", promise: "Contract", small: str, large: str) -> None:
    if found.status == "insufficient_data":
        needed = (
            f"about {found.rows_needed} rows" if found.rows_needed else "better odds or a lower --keep, not more rows"
        )
        print(f"result     insufficient data: to show that {promise.keep:.3g} is kept takes {needed}")
        print("threshold  none: send everything to the large model")
        return
    print(f"result     {'kept' if found.status == 'kept' else 'kept, but dearer than --max-cost'}")
    print(f"threshold  {_up(found.threshold):.6f} for {small}: an answer at or above it stays")
    sure = f"{promise.confidence:.3g} sure ({found.method}, p = {found.p_value:.3g})"
    print(f"promise    {promise.keep:.3g} of the large model's quality, {sure}")
    kept = "unknown, as the large model was never right" if found.kept is None else f"{found.kept:.3f}"
    print(f"kept       {kept} on these rows, with {found.large:.1%} of requests going to the large model")
    print(f"cost       {'unknown' if found.cost is None else f'{found.cost:.6f} USD a request'}")
    if found.allowed is not None:
        print(f'watch      [[contract]] small = "{small}", large = "{large}", allowed = {found.allowed:.6f}')


def _up(threshold: float) -> float:
    """To six digits, never below what was shown: under it answers stay of which nothing was."""
    return math.ceil(threshold * 1e6) / 1e6
