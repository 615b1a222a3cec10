"""`trimtab run`: a flow on every line of a file; durable, so that a killed run goes on where it was."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from trimtab.cli import _out, _recipe

if TYPE_CHECKING:
    from trimtab.types import Json
    from trimtab.workflow.journal import Run
    from trimtab.workflow.run import Progress

HELP = """Run a flow on every line of a file of JSON objects.

What each line came to goes to --out, or to stdout, one JSON object a line in the order of the input; progress goes to
stderr. Every step is on disk before the next one begins: a run that was killed, or whose items waited for a person,
goes on with --resume where it was, and does no side effect twice. Interrupted, it ends after the steps that run;
interrupted again, at once. Exit codes: 0 every line is done, 1 some failed, 4 some wait for a person, 130 interrupted,
2 wrong usage, flow or input."""
EVERY = 1.0
"""Seconds between two lines of progress."""
FAILED, WAITING, INTERRUPTED = 1, 4, 130


def attach(app: typer.Typer) -> None:
    app.command("run", help=HELP)(run)


def run(
    flow: str = typer.Argument(help="A shipped flow, a folder, or a TOML or Python file."),
    input: Path = typer.Argument(help="The file: one JSON object a line."),  # noqa: B008
    out: Path | None = typer.Option(None, "--out", "-o", help="Where the results go; written as a whole."),  # noqa: B008
    resume: bool = typer.Option(False, "--resume", help="Go on with the last run on this input, where there is one."),
    again: bool = typer.Option(False, "--again", help="Start anew, though the last run on this input is not over."),
    recipe: str = typer.Option("", "--recipe", "-r", help="The system that answers; the flow's own unless given."),
    json: bool = typer.Option(False, "--json", help="A last line on stdout that sums the run up."),
) -> None:
    if resume and again:
        raise typer.BadParameter("--resume goes on and --again starts anew: give one.")
    if out and not (out.absolute().parent.is_dir() and os.access(out.absolute().parent, os.W_OK)):
        raise typer.BadParameter(f"{out} cannot be written.", param_hint="--out")
    done, lines, stopped, system = asyncio.run(_run(flow, input, recipe, resume=resume, again=again))
    _write(lines, out)
    counts = _counts(lines)
    if json:
        _out.emit({"run": {"id": done.id, "flow": done.flow, "total": done.total, **counts}})
    _sum_up(done, counts, (flow, str(input)), recipe, system)
    code = INTERRUPTED if stopped else WAITING if counts["waiting"] else FAILED if counts["failed"] else 0
    raise typer.Exit(code)


async def _run(
    word: str, path: Path, recipe: str, *, resume: bool, again: bool
) -> "tuple[Run, list[Json], bool, str]":  # fmt: skip
    from trimtab import settings, wiring
    from trimtab.cli import _home
    from trimtab.workflow import define
    from trimtab.workflow import run as runs

    defined = define.load(word)
    loaded = settings.load(recipe or defined.recipe)
    async with wiring.open_system(loaded, _out.say) as system:
        _home.mark(loaded)
        chosen = await runs.chosen(system.store, defined, path, resume=resume, again=again)
        _out.say(f"{chosen.id}: {defined.flow.name} on {chosen.total} lines, answered by {_recipe.of(loaded)}")
        stop = _Stop()
        await runs.go(system, defined, chosen, _Shown().tell, stop.asked)
        return chosen, await runs.told(system.store, chosen), stop.asked(), _recipe.of(loaded)


class _Stop:
    """The first interrupt lets the steps that run come to their end; the second is an interrupt as any other."""

    def __init__(self) -> None:
        self._asked = False
        self._loop = asyncio.get_running_loop()
        for sign in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(sign, self._ask)

    def asked(self) -> bool:
        return self._asked

    def _ask(self) -> None:
        self._asked = True
        _out.say("Ending after the steps that run; interrupt again to end at once.")
        for sign in (signal.SIGINT, signal.SIGTERM):
            self._loop.remove_signal_handler(sign)


class _Shown:
    """Progress on stderr, a line a second at most, and the last one always."""

    def __init__(self) -> None:
        self._next = 0.0

    def tell(self, now: "Progress") -> None:
        if now.left and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY
        _out.say(f"  {now.done} done, {now.failed} failed, {now.waiting} waiting, {now.left} left")


def _write(lines: "list[Json]", out: Path | None) -> None:
    """The results on stdout, or as a whole in the place of the file."""
    import sys

    from trimtab.workflow.encoding import encoded

    text = "".join(encoded(line) + "\n" for line in lines)
    if out is None:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    fresh = out.with_name(f".{out.name}.{os.getpid()}")
    fresh.write_text(text, "utf-8")
    fresh.replace(out)


def _counts(lines: "list[Json]") -> dict[str, int]:
    states = [line["state"] for line in lines]
    return {name: states.count(name) for name in ("done", "failed", "waiting", "todo")}


def _sum_up(done: "Run", counts: dict[str, Any], words: tuple[str, str], recipe: str, system: str) -> None:
    came = ", ".join(f"{many} {name}" for name, many in counts.items() if many)
    _out.say(f"{done.id}: {came or 'the input has no line'}")
    if not counts["waiting"] and not counts["todo"]:
        return
    import shlex

    if counts["waiting"]:
        _out.say(f"Decide what waits: {_recipe.hint('approvals list', system)}")
    _out.say(f"Then go on: {_recipe.hint(shlex.join(['run', *words, '--resume']), recipe or _recipe.DEFAULT)}")
