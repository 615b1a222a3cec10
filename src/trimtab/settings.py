"""One TOML file and the environment's secrets -> frozen `Settings`; the only reader of the environment."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import msgspec

from trimtab.errors import ConfigError
from trimtab.types import Action, Place, Price

RECIPES = Path(__file__).parent / "recipes"
COMMON = {
    "guard": ("kind", "name", "action", "fail", "shadow", "on"),
    "model": ("kind", "name", "where", "price", "context", "abilities", "mask"),
    "part": ("kind", "name"),
}
SECRETS = (
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "TRIMTAB_API_KEY",
    "TRIMTAB_LARGE",
    "TRIMTAB_LARGE_KEY",
    "TRIMTAB_SMALL",
)
"""The variables that are read as they are; others only where a setting names them (`key_env`)."""


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind at its place, with its own options."""

    kind: str
    name: str
    options: dict[str, Any] = {}


class GuardPart(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A guard and its policy: `on` request, evidence, answer; `fail` says what a crash means."""

    action: Action = Action.REFUSE
    fail: Literal["closed", "open"] = "closed"
    shadow: bool = False
    on: tuple[Literal["request", "evidence", "answer"], ...] = ("request", "evidence")


class ModelPart(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rung; what is set here wins over what its kind says of itself."""

    where: Place | None = None
    price: Price | None = None
    context: int | None = None
    abilities: tuple[str, ...] | None = None
    mask: bool | None = None


class Server(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the gateway listens and what it takes: bytes, seconds."""

    host: str = "127.0.0.1"
    port: int = 8080
    max_body: int = 4_000_000
    max_depth: int = 64
    drain: float = 10.0


class Baseline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The large model that savings are reckoned against, with the source of its price."""

    model: str
    price: Price
    source: str = ""


class Discover(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether to look for models in the environment and on loopback at start."""

    environment: bool = True
    loopback: bool = True


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a system is."""

    name: str
    folder: Path
    home: Path
    description: str = ""
    server: Server = Server()
    guards: tuple[GuardPart, ...] = ()
    route: Part = Part(kind="rules", name="rules")
    retrieve: Part | None = None
    models: tuple[ModelPart, ...] = ()
    verifiers: tuple[Part, ...] = ()
    approve: Part | None = None
    recorders: tuple[Part, ...] = ()
    baseline: Baseline | None = None
    discover: Discover = Discover()
    secrets: dict[str, str] = {}


def load(recipe: str | Path = "starter", environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of a recipe: a shipped one by name, or the path of a folder or of a TOML file.

    The state (ledger, tickets, logs) lies in `TRIMTAB_HOME`, else `~/.trimtab`, in a folder by the recipe's name.
    Raises `ConfigError` that says which key is wrong and what it may be.
    """
    environ = os.environ if environ is None else environ
    path = find(recipe)
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}.", "Mend the file at that place.") from error
    name = str(table.get("name", path.parent.name))
    home = Path(environ.get("TRIMTAB_HOME") or Path(environ.get("HOME") or Path.home()) / ".trimtab") / name
    secrets = {key: value for key in (*SECRETS, *_named(table)) if (value := environ.get(key))}
    return parse(table, folder=path.parent, home=home, name=name, secrets=secrets)


def parse(table: dict[str, Any], *, folder: Path, home: Path, name: str, secrets: dict[str, str]) -> Settings:
    """`Settings` from a decoded TOML table; pure. Raises `ConfigError`."""
    known = {"name", "description", "server", "guard", "route", "retrieve", "model", "verify", "approve", "record",
             "baseline", "discover"}  # fmt: skip
    if unknown := set(table) - known:
        raise ConfigError(f"Unknown settings: {', '.join(sorted(unknown))}.", f"Known are: {', '.join(sorted(known))}.")
    raw = {
        "name": name, "folder": str(folder), "home": str(home), "secrets": secrets,
        "description": table.get("description", ""),
        "server": table.get("server", {}), "discover": table.get("discover", {}), "baseline": table.get("baseline"),
        "guards": _parts(table, "guard", "guard"), "models": _parts(table, "model", "model"),
        "verifiers": _parts(table, "verify", "part"), "recorders": _parts(table, "record", "part"),
        "route": _part(table.get("route", {"kind": "rules"}), "route", "part"),
        "retrieve": _part(table["retrieve"], "retrieve", "part") if "retrieve" in table else None,
        "approve": _part(table["approve"], "approve", "part") if "approve" in table else None,
    }  # fmt: skip
    try:
        settings = msgspec.convert(raw, Settings, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise ConfigError(f"The recipe {name!r} is wrong: {error}.", "See docs/reference/settings.md.") from error
    _unique("model", [model.name for model in settings.models])
    _unique("guard", [guard.name for guard in settings.guards])
    return settings


def find(recipe: str | Path) -> Path:
    """The TOML file of a recipe. Raises `ConfigError` that lists the shipped ones."""
    shipped = RECIPES / str(recipe) / "recipe.toml"
    path = Path(recipe)
    for candidate in (shipped if path.name == str(recipe) else path, path / "recipe.toml", path):
        if candidate.is_file():
            return candidate.resolve()
    names = ", ".join(sorted(folder.parent.name for folder in RECIPES.glob("*/recipe.toml")))
    raise ConfigError(
        f"There is no recipe {str(recipe)!r}.", f"Name a folder, a TOML file, or one that ships: {names}."
    )


def _named(table: dict[str, Any]) -> list[str]:
    """The variables that the models name as holding their keys."""
    models = cast("list[Any]", table["model"]) if isinstance(table.get("model"), list) else []
    return [key for model in models if isinstance(model, dict) and isinstance(key := model.get("key_env"), str)]


def _parts(table: dict[str, Any], key: str, common: str) -> list[dict[str, Any]]:
    given = table.get(key, [])
    if not isinstance(given, list):
        raise ConfigError(f"{key!r} must be a list of tables.", f"Write [[{key}]], with two brackets.")
    return [_part(part, key, common) for part in cast("list[Any]", given)]


def _part(given: Any, key: str, common: str) -> dict[str, Any]:
    """A part's table split into what all parts of its sort have and the kind's own options."""
    if not isinstance(given, dict) or not isinstance(given.get("kind"), str):
        raise ConfigError(f"A [[{key}]] needs a kind.", f'Write kind = "...": the files in {key}/ are the kinds.')
    table = cast("dict[str, Any]", given)
    mine = {name: value for name, value in table.items() if name in COMMON[common]}
    options = {name: value for name, value in table.items() if name not in COMMON[common]}
    return {"name": table["kind"], **mine, "options": options}


def _decode(cls: type, value: Any) -> Any:
    if cls is Path:
        return Path(value)
    raise NotImplementedError(cls)


def _unique(what: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"Two {what}s are called {', '.join(twice)}.", f'Give each [[{what}]] its own name = "...".')
