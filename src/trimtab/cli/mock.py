"""`trimtab mock`: a peer that speaks OpenAI's protocol, for tests and benchmarks; it is no model."""

import typer

from trimtab.cli import _out

HELP = """Serve a mock of an OpenAI-compatible server, for tests and benchmarks.

It is no model: its replies are made from the request."""


def attach(app: typer.Typer) -> None:
    app.command("mock", help=HELP)(mock)


def mock(
    host: str = typer.Option("127.0.0.1", "--host", help="The address to listen on."),
    port: int = typer.Option(8081, "--port", "-p", min=1, max=65535, help="The port."),
    model: str = typer.Option("mock", "--model", "-m", help="The name it says it has."),
    latency: float = typer.Option(0.0, "--latency", min=0.0, help="Seconds before each reply."),
    rate: float = typer.Option(0.0, "--rate", min=0.0, help="Tokens a second of a stream; 0 is at once."),
    fault: str = typer.Option("", "--fault", help="What goes wrong with every call; a wrong name lists them."),
    json: bool = typer.Option(False, "--json", help="One JSON object on stdout before it listens."),
) -> None:
    import msgspec

    from trimtab.evaluate.mock import Options, serve

    given = {"host": host, "port": port, "model": model, "latency": latency, "rate": rate, "fault": fault}
    try:
        options = msgspec.convert(given, Options)
    except msgspec.ValidationError as error:
        wrong = f"There is no fault {fault!r}" if "fault" in str(error) else str(error)
        raise typer.BadParameter(f"{wrong}. {_faults()}") from error
    url = f"http://{host}:{port}/v1"
    if json:
        _out.emit({"url": url})
    else:
        _out.say(f"A mock of an OpenAI-compatible server: {url}")
    serve(options)


def _faults() -> str:
    from typing import get_args

    from trimtab.evaluate.mock import Fault

    return f"The faults are: {', '.join(name for name in get_args(Fault) if name)}."
