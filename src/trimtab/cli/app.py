"""The tree of commands, and what becomes of their errors: one exit code per sort of outcome, never a bare traceback.

Exit codes: 0 ok, 1 other, 2 usage or settings, 3 refused, 4 waiting for a person, 5 upstream down, 6 over budget,
130 interrupted.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TextIO, cast

import click
import typer

from trimtab.cli import _out
from trimtab.errors import TrimtabError, row

VERBS = (
    "demo",
    "serve",
    "ask",
    "chat",
    "route",
    "guard",
    "calibrate",
    "contract",
    "replay",
    "models",
    "plan",
    "recipes",
    "docs",
    "logs",
    "approvals",
    "run",
    "flow",
    "keys",
    "audit",
    "doctor",
    "mock",
)
"""The order in which the help shows them; each is a module here with `attach(app)`, light to import."""
INTERRUPTED = 130
CONTEXT = {"help_option_names": ["-h", "--help"]}

ABOUT = """Answers every request with the smallest model that can be trusted with it, escalates the rest, and proves
what that saved.

Start with: trimtab demo"""


def tree() -> typer.Typer:
    """The whole command line."""
    app = typer.Typer(
        name="trimtab", help=ABOUT, rich_markup_mode=None, pretty_exceptions_enable=False,
        context_settings=CONTEXT,
    )  # fmt: skip

    @app.callback()
    def root(version: bool = typer.Option(False, "--version", "-V", help="Show the version and exit.")) -> None:  # pyright: ignore[reportUnusedFunction]
        del version  # answered in `trimtab.cli.main`, before anything heavy is imported

    for verb in VERBS:
        import_module(f"trimtab.cli.{verb}").attach(app)
    return app


def run(args: Sequence[str]) -> int:
    """Run the command in `args`; the exit code. Faults are printed, and as JSON too where `--json` was asked for."""
    for stream in (sys.stdout, sys.stderr):
        cast("TextIO", stream).reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]
    json = "--json" in args
    try:
        code = tree()(args=list(args) or ["--help"], prog_name="trimtab", standalone_mode=False)
    except TrimtabError as error:
        place = row(error)
        _out.fault(error.message, error.fix, code=error.code, type=place.type, param=error.param, json=json)
        return place.exit
    except click.ClickException as error:
        words = error.ctx.command_path.split()[1:] if isinstance(error, click.UsageError) and error.ctx else []
        fix = f"See {' '.join((_out.program(), *words))} --help."
        _out.fault(_once(error.format_message()), fix, code="usage", type="usage_error", json=json)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away (`| head`): nothing is left to tell, and no one to tell it
        return 0
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # click makes it a fault, and mutes both streams
            return 0
        raise
    return code if isinstance(code, int) else 0


def _once(message: str) -> str:
    """A message without what click and typer both add to it."""
    first, ask, rest = message.partition(" Did you mean ")
    return f"{first}{ask}{rest.split(ask)[0]}" if ask else message
