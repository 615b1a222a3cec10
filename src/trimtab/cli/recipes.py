"""`trimtab recipes`: the complete systems that ship with the package."""

import typer

from trimtab.cli import _out


def attach(app: typer.Typer) -> None:
    app.command("recipes", help="List the recipes that ship: complete systems in a folder.")(recipes)


def recipes(json: bool = typer.Option(False, "--json", help="JSON lines on stdout, one a recipe.")) -> None:
    from trimtab import settings

    for path in sorted(settings.RECIPES.glob("*/recipe.toml")):
        found = settings.load(path, {})
        row = {"name": path.parent.name, "description": found.description, "path": str(path)}
        if json:
            _out.emit(row)
        else:
            print(f"{row['name']:<12} {row['description']}\n{'':<12} {row['path']}")
