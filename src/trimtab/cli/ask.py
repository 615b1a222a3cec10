"""`trimtab ask`: one request; the answer on stdout, who gave it and what it cost on stderr."""

import asyncio
import math
import sys
from typing import TYPE_CHECKING, Any

import click
import typer

from trimtab.cli import _out, _recipe

if TYPE_CHECKING:
    from trimtab.cli._reply import Reply

HELP = """Ask one question.

The answer goes to stdout; who answered, how sure, what it cost, what the large model would have cost and the trace's id
go to stderr. The gateway at the recipe's address is asked where it serves the same system (recipe, TRIMTAB_HOME, models
from the environment); else the path runs in this process. The question is read from stdin where it is "-". Exit codes:
0 answered, 3 refused, 4 waits for a person, 5 a model is down or too slow, 6 over budget, 2 wrong usage or settings."""
PLACES = click.Choice(["any", "local"])
VIA = typer.Option("", "--via", help="Ask the gateway at this URL, whatever it serves.", show_default=False)


def attach(app: typer.Typer) -> None:
    app.command("ask", help=HELP)(ask)


def ask(
    question: str = typer.Argument(help='The question, or "-" to read it from stdin.'),
    model: str = typer.Option("auto", "--model", "-m", help="A model's name, or auto."),
    recipe: str = _recipe.OPTION,
    stream: bool = typer.Option(False, "--stream", help="Write the answer as it comes."),
    trace: bool = typer.Option(False, "--trace", help="Show the request's path as a tree, on stderr."),
    cache: bool = typer.Option(True, "--cache/--no-cache", help="Whether a cached answer will do."),
    max_cost: float | None = typer.Option(None, "--max-cost", min=0, help="USD that the answer may cost at most."),
    max_latency: float | None = typer.Option(None, "--max-latency", min=0.001, help="Seconds it may take at most."),
    where: str = typer.Option("any", "--where", click_type=PLACES, help="Where the text may go."),
    via: str = VIA,
    json: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    text = clean(sys.stdin.read() if question == "-" else question)
    if not text.strip():
        raise typer.BadParameter("The question is empty.")
    limits, live = _limits(max_cost, max_latency, where), stream and not json
    reply, path = asyncio.run(_ask(text, recipe, via, model, live, trace, cache, limits))
    if json:
        _out.emit({**to_json(reply), **({"path": path} if path else {})})
    else:
        _show(reply, path, stream, recipe)
    raise typer.Exit(reply.exit)


def clean(text: str) -> str:
    """The text with bytes that were not UTF-8 replaced, as a terminal may pass them."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def to_json(reply: "Reply") -> dict[str, Any]:
    import msgspec

    return msgspec.to_builtins(reply)


def _limits(cost: float | None, latency: float | None, where: str) -> dict[str, Any]:
    """`trimtab.limits` of the request: what was asked for. Raises `BadParameter` for what is no number."""
    given = {"cost_usd": cost, "latency_s": latency}
    for name, value in given.items():
        if value is not None and not math.isfinite(value):
            raise typer.BadParameter(f"{value} is no limit.", param_hint=f"--max-{name.partition('_')[0]}")
    asked = {name: value for name, value in given.items() if value is not None}
    return asked if where == "any" else {**asked, "where": where}


async def _ask(
    text: str, recipe: str, via: str, model: str, stream: bool, trace: bool, cache: bool, limits: dict[str, Any]
) -> tuple["Reply", dict[str, Any] | None]:
    from trimtab import settings
    from trimtab.cli import _service

    async with _service.reach(settings.load(recipe), _out.say, via) as service:
        asked = ({"role": "user", "content": text},)
        reply = await service.ask(asked, model=model, cache=cache, limits=limits, write=write if stream else None)
        return reply, await service.trace(reply.trace) if trace and reply.trace else None


def write(piece: str) -> None:
    """A piece of an answer on stdout, as it is; on a terminal with what would steer the terminal written out."""
    from trimtab.cli import _render

    sys.stdout.write(_render.visible(piece) if sys.stdout.isatty() else piece)
    sys.stdout.flush()


def _show(reply: "Reply", path: dict[str, Any] | None, streamed: bool, recipe: str) -> None:
    show_reply(reply, recipe, streamed=streamed)
    if path:
        from trimtab.cli import _render

        _out.console(error=True).print(_render.tree(path))


def show_reply(reply: "Reply", recipe: str, *, streamed: bool) -> None:
    """The answer on stdout, all that is said about it on stderr."""
    import msgspec

    from trimtab.cli import _render

    if streamed and reply.text:
        print()
    elif reply.text is not None:
        write(reply.text + "\n")
    for call in reply.tool_calls:
        print(msgspec.json.encode(call).decode())
    if reply.outcome != "answer":
        _out.say(f"{reply.code}: {reply.why}")
    if reply.ticket:
        _out.say(f"A person decides: {_recipe.hint(f'approvals show {reply.ticket}', recipe)}")
    for cited in reply.citations:
        _out.say(_render.citation(cited))
    _out.say(_render.line(reply))
