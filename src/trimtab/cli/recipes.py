"""`trimtab recipes`: the complete systems that ship with the package, and the flows."""

import typer

from trimtab.cli import _out


def attach(app: typer.Typer) -> None:
    app.command("recipes", help="List what ships: complete systems in a folder, and flows for `trimtab run`.")(recipes)


def recipes(json: bool = typer.Option(False, "--json", help="JSON lines on stdout, one a recipe.")) -> None:
    from trimtab import settings
    from trimtab.workflow import define

    paths = sorted(settings.RECIPES.glob("*/recipe.toml")) + [define.find(name) for name in define.shipped()]
    for path in paths:
        flow = path.name != "recipe.toml"
        found = define.load(path).flow if flow else settings.load(path, {})
        kind = "flow" if flow else "system"
        row = {"name": path.parent.name, "description": found.description, "path": str(path), "kind": kind}
        if json:
            _out.emit(row)
        else:
            print(f"{row['name']:<12} {row['description']}\n{'':<12} {row['path']}")
