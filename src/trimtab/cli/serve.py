"""`trimtab serve`: the gateway, until a signal; `trimtab reload`: have it read its recipe anew."""

from typing import TYPE_CHECKING

import typer

from trimtab.cli import _home, _out, _recipe

if TYPE_CHECKING:
    from pathlib import Path

    from trimtab.server.supervised import Load
    from trimtab.settings import Settings

HELP = """Serve a recipe as an OpenAI-compatible gateway.

Says which models were found and which were not, then where it listens. It listens beyond this machine only where
TRIMTAB_API_KEY is set. Ctrl-C drains and stops it."""
RELOAD = """Have the gateway of a recipe read it anew, without dropping a request.

What is wrong with the recipe is said here, and what runs goes on."""
LISTENING = "Listening on "


def attach(app: typer.Typer) -> None:
    app.command("serve", help=HELP)(serve)
    app.command("reload", help=RELOAD)(reload)


def serve(
    word: str = _recipe.WORD,
    recipe: str = _recipe.NAMED,
    host: str = typer.Option("", "--host", help="The address to listen on, in place of the recipe's."),
    port: int | None = typer.Option(None, "--port", "-p", min=0, max=65535, help="The port; 0 is any free one."),
    workers: int = typer.Option(0, "--workers", "-w", min=0, help="Processes that share the port.", show_default=False),
    json: bool = typer.Option(False, "--json", help="One JSON object on stdout once it listens."),
    worker: int = typer.Option(-1, "--worker", hidden=True),
    ready: int = typer.Option(-1, "--ready", hidden=True),
    private: str = typer.Option("", "--private", hidden=True),
) -> None:
    from trimtab import settings

    named = _recipe.chosen(word, recipe)

    def again(copy: "Path | None" = None) -> "Settings":
        return placed(settings.load(named, copy=copy), host, port, workers)

    if worker >= 0:
        _work(again, worker, ready, private)
        return
    loaded = again()

    def said(line: str) -> None:
        url = line.removeprefix(LISTENING) if line.startswith(LISTENING) else ""
        if url:
            _home.mark(loaded)
        if url and json:
            _out.emit({"url": url, "recipe": loaded.name})
        for shown in (line, *(client(url) if url else ())):
            _out.say(shown)

    if loaded.server.workers > 1:
        _supervise(loaded, [named, *(("--host", host) if host else ()), "--workers", str(loaded.server.workers)], said)
    else:
        from trimtab.server.serving import run

        run(loaded, said, again)


def reload(
    word: str = _recipe.WORD,
    recipe: str = _recipe.NAMED,
    json: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    from trimtab import settings
    from trimtab.server import reloading

    loaded = settings.load(_recipe.chosen(word, recipe))
    pids = reloading.reload(loaded)
    if json:
        _out.emit({"reloaded": pids})
    else:
        _out.say(f"Reloaded: {', '.join(f'process {pid}' for pid in pids)}.")


def _work(load: "Load", number: int, ready: int, private: str) -> None:
    """One worker of several: the first one speaks for all."""
    from pathlib import Path

    from trimtab.server.serving import run
    from trimtab.server.supervised import Supervised

    worker = Supervised(number, ready, Path(private), load)

    def said(line: str) -> None:
        if line.startswith(LISTENING):
            worker.listens()
        elif number == 0 or line.startswith("Not reloaded"):
            _out.say(line)

    run(worker.settings(), said, worker.again, worker)


def _supervise(loaded: "Settings", arguments: list[str], said) -> None:
    from trimtab.server.workers import Supervisor

    if code := Supervisor(loaded, ["serve", *arguments], said).run():
        raise typer.Exit(code)


def placed(settings: "Settings", host: str = "", port: int | None = None, workers: int = 0) -> "Settings":
    """The settings with another address; an empty host, no port and no workers change nothing."""
    import msgspec

    server = settings.server
    there = msgspec.structs.replace(
        server, host=host or server.host, port=server.port if port is None else port, workers=workers or server.workers
    )
    return msgspec.structs.replace(settings, server=there)


def client(url: str) -> tuple[str, ...]:
    """How to point an `openai` client at a gateway."""
    return (
        "Point an openai client at it:",
        f'  client = openai.OpenAI(base_url="{url}/v1", api_key="local")',
        '  client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "What is 15% of 240?"}])',
    )
