"""`trimtab serve`: the gateway, until a signal."""

from typing import TYPE_CHECKING

import typer

from trimtab.cli import _home, _out, _recipe

if TYPE_CHECKING:
    from trimtab.settings import Settings

HELP = """Serve a recipe as an OpenAI-compatible gateway.

Says which models were found and which were not, then where it listens. It listens beyond this machine only where
TRIMTAB_API_KEY is set. Ctrl-C drains and stops it."""
LISTENING = "Listening on "


def attach(app: typer.Typer) -> None:
    app.command("serve", help=HELP)(serve)


def serve(
    word: str = _recipe.WORD,
    recipe: str = _recipe.NAMED,
    host: str = typer.Option("", "--host", help="The address to listen on, in place of the recipe's."),
    port: int | None = typer.Option(None, "--port", "-p", min=0, max=65535, help="The port; 0 is any free one."),
    json: bool = typer.Option(False, "--json", help="One JSON object on stdout once it listens."),
) -> None:
    from trimtab import settings
    from trimtab.server.serving import run

    loaded = placed(settings.load(_recipe.chosen(word, recipe)), host, port)

    def said(line: str) -> None:
        url = line.removeprefix(LISTENING) if line.startswith(LISTENING) else ""
        if url:
            _home.mark(loaded)
        if url and json:
            _out.emit({"url": url, "recipe": loaded.name})
        for shown in (line, *(client(url) if url else ())):
            _out.say(shown)

    run(loaded, said)


def placed(settings: "Settings", host: str = "", port: int | None = None) -> "Settings":
    """The settings with another address; an empty host and no port change nothing."""
    import msgspec

    server = settings.server
    there = msgspec.structs.replace(server, host=host or server.host, port=server.port if port is None else port)
    return msgspec.structs.replace(settings, server=there)


def client(url: str) -> tuple[str, ...]:
    """How to point an `openai` client at a gateway."""
    return (
        "Point an openai client at it:",
        f'  client = openai.OpenAI(base_url="{url}/v1", api_key="local")',
        '  client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "What is 15% of 240?"}])',
    )
