"""`trimtab chat`: a conversation; each turn is a request with the turns before it."""

import asyncio
import contextlib
import sys
import threading
from typing import TYPE_CHECKING, Any

import typer

from trimtab.cli import _out, _recipe
from trimtab.cli.ask import VIA

if TYPE_CHECKING:
    from trimtab.cli._service import Service

HELP = """Chat: each turn is a request that carries the turns before it.

/trace shows the path of the last request, /quit (or the end of the input) ends the chat, /help lists the commands. With
--json each turn is one JSON line, and nothing is streamed."""
COMMANDS = "The commands are /trace (the path of the last request), /help and /quit."
PROMPT = "> "


def attach(app: typer.Typer) -> None:
    app.command("chat", help=HELP)(chat)


def chat(
    model: str = typer.Option("auto", "--model", "-m", help="A model's name, or auto."),
    recipe: str = _recipe.OPTION,
    via: str = VIA,
    json: bool = typer.Option(False, "--json", help="JSON lines on stdout, one a turn."),
) -> None:
    asyncio.run(_chat(recipe, via, model, json))


async def _chat(recipe: str, via: str, model: str, json: bool) -> None:
    from trimtab import settings
    from trimtab.cli import _service

    async with _service.reach(settings.load(recipe), _out.say, via) as service:
        talk = Talk(service, model, json, recipe)
        while (said := await _next_line()) is not None:
            if said == "/quit":
                return
            await talk.turn(said)


class Talk:
    """The turns so far; a turn that got no answer leaves no mark on those after it."""

    def __init__(self, service: "Service", model: str, json: bool, recipe: str) -> None:
        self._service, self._model, self._json, self._recipe = service, model, json, recipe
        self._messages: list[dict[str, Any]] = []
        self._last = ""

    async def turn(self, said: str) -> None:
        """One line of the person's: a question, or a command where it begins with a slash; an empty one is nothing."""
        from trimtab.errors import TrimtabError, row

        if not said:
            return
        try:
            await (self._command(said) if said.startswith("/") else self._ask(said))
        except TrimtabError as error:  # the conversation goes on
            kind = row(error).type
            _out.fault(error.message, error.fix, code=error.code, type=kind, param=error.param, json=self._json)

    async def _command(self, said: str) -> None:
        if said == "/trace":
            await self._trace()
        else:
            _out.say(COMMANDS if said == "/help" else f"There is no command {said.split(maxsplit=1)[0]}. {COMMANDS}")

    async def _ask(self, said: str) -> None:
        from trimtab.cli.ask import show_reply, to_json, write

        asked = [*self._messages, {"role": "user", "content": said}]
        reply = await self._service.ask(asked, model=self._model, write=None if self._json else write)
        self._last = reply.trace
        if reply.text is not None:
            self._messages = [*asked, {"role": "assistant", "content": reply.text}]
        if self._json:
            _out.emit(to_json(reply))
        else:
            show_reply(reply, self._recipe, streamed=True)

    async def _trace(self) -> None:
        from trimtab.cli import _render

        if not self._last:
            _out.say("Nothing was asked yet.")
            return
        _out.console(error=True).print(_render.tree(await self._service.trace(self._last)))


async def _next_line() -> str | None:
    """Read on a thread that does not outlive the program, so that Ctrl-C need not wait for a line."""
    loop = asyncio.get_running_loop()
    line: asyncio.Future[str | None] = loop.create_future()

    def read() -> None:
        found = _read()
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits for the line
            loop.call_soon_threadsafe(lambda: line.done() or line.set_result(found))

    threading.Thread(target=read, daemon=True).start()
    return await line


def _read() -> str | None:
    """The next line, None at the end of the input; the prompt is for a person only."""
    from trimtab.cli.ask import clean

    if sys.stdin.isatty():
        sys.stderr.write(PROMPT)
        sys.stderr.flush()
    line = sys.stdin.readline()
    return clean(line).strip() if line else None
