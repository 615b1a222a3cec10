"""`trimtab demo`: a tour; a recipe's probes go over HTTP through a real gateway, and each must get its decision."""

import asyncio
import sys
import threading
from typing import TYPE_CHECKING, Any

import typer

from trimtab.cli import _out, _recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.cli._tour import Stop
    from trimtab.settings import Settings

HELP = """Take the tour: start the gateway, send the recipe's probes through it, and show who decided each and what
it cost.

Needs no key, no GPU and no network. Exit code 1 where a probe did not get its decision. With --up the gateway stays up
after the tour where stdin is a terminal."""


def attach(app: typer.Typer) -> None:
    app.command("demo", help=HELP)(demo)


def demo(
    word: str = _recipe.WORD,
    recipe: str = _recipe.NAMED,
    up: bool = typer.Option(False, "--up", help="Stay up after the tour, where stdin is a terminal."),
    port: int | None = typer.Option(None, "--port", "-p", min=0, max=65535, help="The port; 0 is any free one."),
    json: bool = typer.Option(False, "--json", help="JSON lines on stdout, one a request, the totals last."),
) -> None:
    from trimtab import settings
    from trimtab.cli import _home, _probes, _tour
    from trimtab.cli.serve import placed
    from trimtab.server.serving import background

    loaded = _free(placed(settings.load(_recipe.chosen(word, recipe)), port=port))
    probes = _probes.read(loaded.folder)
    with background(loaded, _out.say) as url:
        _home.mark(loaded)
        stops = asyncio.run(_tour.take(loaded, url, probes))
        _report(loaded, stops, url, json)
        if up and sys.stdin.isatty():
            _out.say("The gateway stays up; Ctrl-C stops it.")
            threading.Event().wait()
    raise typer.Exit(0 if all(stop.ok for stop in stops) else 1)


def _free(settings: "Settings") -> "Settings":
    """The settings as they are where their port can be had, else with any free one, which is said."""
    from trimtab.cli import _checks
    from trimtab.cli.serve import placed

    try:
        _checks.take(settings.server.host, settings.server.port).close()
    except OSError:
        _out.say(f"Port {settings.server.port} is taken: the tour uses a free one.")
        return placed(settings, port=0)
    return settings


def _report(settings: "Settings", stops: "Sequence[Stop]", url: str, json: bool) -> None:
    from trimtab.cli import _tour
    from trimtab.cli.serve import client

    totals = _tour.totals(stops)
    if json:
        for stop in stops:
            _out.emit(stop.shape())
        _out.emit({"url": url, "totals": totals})
        return
    _table(settings, stops)
    for line in _summary(settings, totals):
        print(line)
    print()
    for line in (f"The gateway: {url}", *client(url), *_more(settings, stops)):
        print(line)


def _table(settings: "Settings", stops: "Sequence[Stop]") -> None:
    from rich.table import Table
    from rich.text import Text

    from trimtab.cli import _render

    large = settings.baseline.model if settings.baseline else "large model"
    table = Table(title=f"{settings.name}: {len(stops)} requests over HTTP", title_justify="left")
    for column, justify in (("request", "left"), ("decided by", "left"), ("sure", "right"), ("cost", "right"),
                            (f"at {large}", "right"), ("ms", "right"), ("", "left")):  # fmt: skip
        table.add_column(column, justify=justify, no_wrap=column != "request")  # type: ignore[arg-type]
    for stop in stops:
        mark = Text("✓", "green") if stop.ok else Text(f"✗ wants {' or '.join(stop.expected)}", "red")
        table.add_row(
            Text(_render.shortened(stop.ask, 58)), Text(stop.decider), stop.sure, stop.cost, stop.baseline,
            f"{stop.ms:.0f}", mark,
        )  # fmt: skip
    _out.console().print(table)


def _summary(settings: "Settings", totals: dict[str, Any]) -> list[str]:
    from trimtab.cli import _render

    cost, large, saved = (_render.usd(totals[key]) for key in ("cost_usd", "baseline_usd", "saved_usd"))
    lines = [
        f"{totals['right']} of {totals['requests']} requests got the decision they must get.",
        f"Cost {cost}; the {totals['compared']} answers would have cost {large} at the large model: {saved} saved.",
    ]
    if totals["unknown"]:
        lines.append(f"The cost of {totals['unknown']} requests is unknown and in no sum.")
    if settings.baseline:
        lines += [
            f"The large model is {settings.baseline.model} at its list price ({settings.baseline.source}),",
            "for the tokens of the answers that were given, estimated where no server counted them.",
        ]
    return lines


def _more(settings: "Settings", stops: "Sequence[Stop]") -> list[str]:
    recipe = _recipe.of(settings)
    trace = next((stop.trace for stop in stops if stop.trace), "ID")
    waiting = sum(stop.decider == "person" for stop in stops)
    return [
        f"See how a request went:   {_recipe.hint(f'logs show {trace}', recipe)}",
        f"See what waits ({waiting} here):  {_recipe.hint('approvals list', recipe)}",
    ]
