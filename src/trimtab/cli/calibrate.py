"""`trimtab calibrate`: from labelled outcomes to the threshold that keeps a promise on quality."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from trimtab.cli import _out

if TYPE_CHECKING:
    from trimtab.route._contract import Calibrated

HELP = """Find the cheapest threshold that keeps the promised share of the large model's quality.

OUTCOMES is a JSONL file; rows that the odds were trained on are left out. Where the rows are too few to show anything,
that is the answer, and everything is to go to the large model."""


def attach(app: typer.Typer) -> None:
    app.command("calibrate", help=HELP)(calibrate)


def calibrate(
    outcomes: str = typer.Argument(help="Labelled outcomes, JSON lines."),
    odds: str = typer.Option(..., "--odds", help="The folder that `trimtab route train` wrote."),
    small: str = typer.Option(..., "--small", help="The small model's name in the file."),
    large: str = typer.Option(..., "--large", help="The large model's name in the file."),
    keep: float = typer.Option(0.98, "--keep", help="Share of the large model's quality to keep."),
    confidence: float = typer.Option(0.9, "--confidence", help="How sure the promise must be."),
    max_cost: float | None = typer.Option(None, "--max-cost", help="USD a request on average, at most."),
    method: str = typer.Option("betting", "--method", help="betting, exact or clt (an approximation)."),
    json: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    import msgspec

    from trimtab.encode.encoder import Encoder
    from trimtab.errors import ConfigError
    from trimtab.odds import calibration, fitted
    from trimtab.odds.outcomes import having, read
    from trimtab.route import _contract

    if method not in _contract.METHODS:
        raise ConfigError(f"--method {method!r} is none.", f"Methods are: {', '.join(_contract.METHODS)}.")
    rows = calibration.unseen(having(read(Path(outcomes)), small, large), Path(odds))
    fitting, encoder = fitted.Odds.load(Path(odds)), Encoder.load()
    try:
        columns = calibration.columns(rows, fitting, encoder, small, large)
    finally:
        encoder.close()
    try:
        contract = _contract.Contract(keep=keep, confidence=confidence, max_cost=max_cost)
        found = _contract.calibrate(_contract.Rows(**columns), contract, _contract.METHODS[method])
    except ValueError as error:
        raise ConfigError(str(error), "See `trimtab calibrate --help`.") from error
    if json:
        shown = msgspec.to_builtins(found)
        _out.emit(shown | {"threshold": None if found.status == "insufficient_data" else found.threshold})
    else:
        _show(found, keep, confidence, small)


def _show(found: "Calibrated", keep: float, confidence: float, small: str) -> None:
    print(f"rows       {found.rows} that the odds have not seen")
    if found.status == "insufficient_data":
        needed = (
            f"about {found.rows_needed} rows" if found.rows_needed else "better odds or a lower --keep, not more rows"
        )
        print(f"result     insufficient data: to show that {keep:.3g} is kept takes {needed}")
        print("threshold  none: send everything to the large model")
        return
    print(f"result     {'kept' if found.status == 'kept' else 'kept, but dearer than --max-cost'}")
    print(f"threshold  {found.threshold:.4f} for {small}: an answer at or above it stays")
    sure = f"{confidence:.3g} sure ({found.method}, p = {found.p_value:.3g})"
    print(f"promise    {keep:.3g} of the large model's quality, {sure}")
    print(f"kept       {found.kept:.3f} on these rows, with {found.large:.1%} of requests going to the large model")
    print(f"cost       {'unknown' if found.cost is None else f'{found.cost:.6f} USD a request'}")
