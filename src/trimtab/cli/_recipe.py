"""Which recipe a command is about: `-r` everywhere, for some verbs the word after them too; and how to say it again."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from trimtab.cli import _out

if TYPE_CHECKING:
    from trimtab.settings import Settings

DEFAULT = "starter"
ABOUT = "A shipped recipe, a folder or a TOML file."
OPTION = typer.Option(DEFAULT, "--recipe", "-r", help=ABOUT)
WORD = typer.Argument("", help=f"{ABOUT} [default: {DEFAULT}]", show_default=False)
NAMED = typer.Option("", "--recipe", "-r", help="The recipe, as the other commands take it.", show_default=False)


def chosen(word: str, named: str) -> str:
    """The recipe given as a word, with `-r`, or neither. Raises `BadParameter` where the two differ."""
    if word and named and word != named:
        raise typer.BadParameter(f"{word!r} and --recipe {named!r} are two recipes: give one.")
    return named or word or DEFAULT


def hint(command: str, recipe: str) -> str:
    """A command of ours as it is typed from here, on that recipe."""
    there = "" if recipe == DEFAULT else f" -r {shlex.quote(recipe)}"
    return f"{_out.program()} {command}{there}"


def of(settings: "Settings") -> str:
    """How a command line names the recipe of these settings: its name where it ships, else its folder or its file."""
    from trimtab.settings import RECIPES

    folder, file = settings.folder, settings.file
    if folder.parent == RECIPES.resolve():
        return folder.name
    path = file if file and file.name != "recipe.toml" else folder
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
