"""`trimtab guard`: what a recipe's guards find in labelled texts, and how much of your own they may find wrongly."""

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import typer

from trimtab.cli import _out, _recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trimtab.evaluate.trial import Tally
    from trimtab.guard._limit import Benign
    from trimtab.settings import Settings

TEST = """Run a recipe's guards over a file of labelled texts: what each finds, misses, and finds wrongly.

The file is JSONL, a row {"text": "...", "label": 1}: 1 is to be found, 0 is benign, and a guard's name says which one
is to find it. Each guard judges every row, whatever the others say. No model is asked and nothing is recorded.

The exit code is 1 where --min-recall or --max-fpr is not met by all guards together."""
CALIBRATE = """Set the thresholds of a recipe's scoring guards by benign texts of your own.

The file is JSONL, a row {"text": "..."}, with "origin": "retrieved" or "tool" where no user wrote it; rows with label 1
are left out. Their scores say above which one a guard
speaks, so that it finds at most the share `fpr` of its settings wrongly. Scores are kept, no text is."""
SHOWN = 100
"""Characters of a text that are shown."""


def attach(app: typer.Typer) -> None:
    verb = typer.Typer(name="guard", help="Try a recipe's guards on labelled texts, and set their thresholds.")
    verb.command("test", help=TEST)(measure)
    verb.command("calibrate", help=CALIBRATE)(calibrate)
    app.add_typer(verb)


def measure(
    file: str = typer.Argument(help="JSONL of texts and labels."),
    recipe: str = _recipe.OPTION,
    examples: int = typer.Option(3, "--examples", "-n", min=0, help="Misses and false alarms to show of each guard."),
    min_recall: float = typer.Option(0.0, min=0, max=1, help="Of all guards together."),
    max_fpr: float = typer.Option(1.0, min=0, max=1, help="Of all guards together."),
    json: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    tallies = asyncio.run(_tried(Path(file), recipe, examples))
    together = tallies[-1]
    low = together.recall is not None and together.recall < min_recall
    high = together.fpr is not None and together.fpr > max_fpr
    if json:
        _out.emit({"file": file, "ok": not (low or high), "rules": [tally.shown() for tally in tallies]})
    else:
        _show(tallies)
    if low:
        _out.say(f"recall {together.recall:.3f} is under {min_recall}.")
    if high:
        _out.say(f"false positives {together.fpr:.4f} are over {max_fpr}.")
    raise typer.Exit(1 if low or high else 0)


def calibrate(
    file: str = typer.Argument(help="JSONL of benign texts, as your users write them."),
    recipe: str = _recipe.OPTION,
    json: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    found = asyncio.run(_calibrated(Path(file), recipe))
    if json:
        _out.emit(found)
        return
    for guard in found["guards"]:
        print(f"{guard['name']:16} {guard['n']} texts; threshold {guard['threshold']:.4f} at fpr {guard['fpr']}")
    print(f"written: {found['file']}")


async def _tried(file: Path, recipe: str, examples: int) -> "list[Tally]":
    import msgspec

    from trimtab import settings
    from trimtab.cli import _preview
    from trimtab.evaluate import trial
    from trimtab.wiring import open_system

    loaded = settings.load(recipe)
    rows = trial.rows(file, [part.name for part in loaded.guards])
    async with open_system(_preview.dry(loaded), _out.say) as system:
        found = await trial.tried(system.desk.guards, rows, examples, _progress(len(rows)))
    kinds = {part.name: part.kind for part in loaded.guards}
    return [msgspec.structs.replace(tally, kind=kinds.get(tally.name, "")) for tally in found]


async def _calibrated(file: Path, recipe: str) -> dict[str, Any]:
    import msgspec

    from trimtab import load, settings
    from trimtab.cli import _preview
    from trimtab.evaluate import trial
    from trimtab.guard import _limit

    loaded, texts = settings.load(recipe), trial.benign(file)
    with TemporaryDirectory() as empty:  # an old calibration has no say in a new one
        found = await _scored(msgspec.structs.replace(_preview.dry(loaded), home=Path(empty)), texts)
    options = {part.name: load.options("guard", part.kind, part.options) for part in loaded.guards}
    shown: list[dict[str, Any]] = []
    for bar, kept in found.items():
        name, _, untrusted = bar.partition("/")
        fpr = (
            options[name].untrusted_fpr if untrusted and hasattr(options[name], "untrusted_fpr") else options[name].fpr
        )
        shown.append({"name": bar, "n": kept.n, "fpr": fpr, "threshold": kept.threshold(fpr)})
    return {"guards": shown, "file": str(_limit.save(loaded.home, found))}


async def _scored(loaded: "Settings", texts: "dict[bool, list[str]]") -> "dict[str, Benign]":
    from trimtab.errors import ConfigError
    from trimtab.guard import _limit
    from trimtab.types import Origin
    from trimtab.wiring import open_system

    async with open_system(loaded, _out.say) as system:
        scoring = [seat for seat in system.desk.guards if hasattr(seat.judge, "scores")]
        if not scoring:
            raise ConfigError(
                f"No guard of {loaded.name} scores anything.", "Those that do: injection, toxicity, topic."
            )
        found: dict[str, Benign] = {}
        for seat in scoring:
            for bar in seat.judge.bars:
                if mine := texts[bool(bar)]:
                    _out.say(f"{seat.name}{bar}: {len(mine)} texts")
                    scores = await seat.judge.scores(mine, Origin.RETRIEVED if bar else Origin.USER)
                    found[seat.name + bar] = _limit.benign(seat.judge.by, scores)
        return found


def _progress(total: int) -> "Callable[[int], None]":
    """Tells on stderr each tenth of `total`, where someone looks at it."""
    step = max(1, total // 10)

    def seen(done: int) -> None:
        if sys.stderr.isatty() and done % step == 0:
            _out.say(f"{done} of {total} texts")

    return seen


def _show(tallies: "Sequence[Tally]") -> None:
    from trimtab.evaluate.trial import interval

    print(f"{'rule':16}{'action':9}{'found':>9}{'of':>7}{'recall (95 %)':>22}{'wrong':>8}{'of':>7}{'fpr (95 %)':>22}")
    for tally in tallies:
        action = f"{tally.action}{'*' if tally.shadow else ''}"
        recall = _share(tally.recall, interval(tally.found, tally.positives))
        fpr = _share(tally.fpr, interval(tally.wrong, tally.benign))
        counts = f"{tally.found:>9}{tally.positives:>7}{recall:>22}{tally.wrong:>8}{tally.benign:>7}{fpr:>22}"
        print(f"{tally.name:16}{action:9}{counts}")
    if any(tally.shadow for tally in tallies):
        print("* only watches: what it finds goes on")
    for tally in tallies:
        for what, texts in (("missed", tally.misses), ("found wrongly", tally.alarms)):
            for text in texts:
                print(f"{tally.name}: {what}: {' '.join(text[: 4 * SHOWN].split())[:SHOWN]}")
        if tally.crashed:
            print(f"{tally.name}: crashed on {tally.crashed} texts; the log says more")


def _share(share: float | None, bounds: tuple[float, float] | None) -> str:
    return f"{share:.3f} ({bounds[0]:.3f}-{bounds[1]:.3f})" if share is not None and bounds else "-"
