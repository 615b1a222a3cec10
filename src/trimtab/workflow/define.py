"""A flow's file -> `Defined`: TOML, or Python that has a `flow`; and the functions that its calls name."""

import hashlib
import importlib
import importlib.util
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from trimtab.errors import ConfigError, TrimtabError
from trimtab.settings import RECIPES
from trimtab.workflow import sound
from trimtab.workflow.steps import AnyStep, Call, Each, Flow, Plan

FILES = ("flow.toml", "flow.py")
PAGE = "See docs/reference/flows.md."


class Defined(msgspec.Struct, frozen=True, kw_only=True):
    """A flow that is sound, where it stands, and its functions by the names that its calls give them."""

    flow: Flow
    file: Path
    functions: dict[str, Callable[..., Any]] = {}

    @property
    def digest(self) -> str:
        """The same for the same definition, whatever its comments: a run goes on only with the one it began with."""
        return hashlib.sha256(msgspec.json.encode(self.flow, order="deterministic")).hexdigest()

    @property
    def recipe(self) -> str:
        """The system that it runs on: the flow's own word, the recipe beside it, or the starter."""
        beside = self.file.parent / "recipe.toml"
        if not self.flow.recipe:
            return str(beside) if beside.is_file() else "starter"
        there = self.file.parent / self.flow.recipe
        return str(there) if there.exists() else self.flow.recipe


def load(word: str | Path) -> Defined:
    """A flow by a shipped one's name, or the path of a folder or a file. Raises `ConfigError` that says what is wrong.

    A Python file is run: it is the user's own code.
    """
    file = find(word)
    module = _module(file) if file.suffix == ".py" else None
    flow = _of_module(module, file) if module else parse(_table(file))
    modules = {"": module}
    return Defined(flow=flow, file=file, functions={name: _function(name, file, modules) for name in _called(flow)})


def parse(table: dict[str, Any]) -> Flow:
    """A flow from a decoded TOML table. Raises `ConfigError`."""
    given = dict(table)
    if "step" in given:
        given["steps"] = given.pop("step")
    try:
        flow = msgspec.convert(given, Flow)
    except msgspec.ValidationError as error:
        raise ConfigError(f"The flow {str(table.get('name', ''))!r} is wrong: {error}.", PAGE) from error
    sound.check(flow)
    return flow


def shipped() -> tuple[str, ...]:
    """The names of the flows in the package."""
    return tuple(sorted(file.parent.name for file in RECIPES.glob("*/flow.toml")))


def find(word: str | Path) -> Path:
    """The file of a flow. Raises `ConfigError` that lists the shipped ones."""
    path = Path(word)
    folders = [RECIPES / path, path] if path.name == str(word) else [path]
    for candidate in (*(folder / name for folder in folders for name in FILES), path):
        if candidate.is_file() and candidate.suffix in (".toml", ".py"):
            return candidate.resolve()
    names = ", ".join(shipped())
    raise ConfigError(f"There is no flow {str(word)!r}.", f"Name a .toml, a .py, a folder with one, or: {names}.")


def _table(file: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(file.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not TOML: {error}.", "Mend the file at that place.") from error
    return {"name": file.parent.name if file.name in FILES else file.stem, **table}


def _of_module(module: ModuleType, file: Path) -> Flow:
    flow = getattr(module, "flow", None)
    if not isinstance(flow, Flow):
        raise ConfigError(f"{file} has no flow.", "Write flow = Flow(name=..., steps=(...)).")
    sound.check(flow)
    return flow


def _called(flow: Flow) -> list[str]:
    calls = [one for step in every(flow.steps) for one in (step, getattr(step, "undo", None)) if isinstance(one, Call)]
    return list(dict.fromkeys(call.function for call in calls))


def every(steps: tuple[AnyStep, ...]) -> Iterator[AnyStep]:
    """All steps, those inside of others too."""
    for step in steps:
        yield step
        if isinstance(step, Each | Plan):
            yield from every(step.steps)


def _function(name: str, file: Path, modules: dict[str, ModuleType | None]) -> Callable[..., Any]:
    """A function by its name; `modules` are those that were run, by their place, each once."""
    place, _, attribute = name.rpartition(":")
    if place not in modules:
        modules[place] = _module(file.parent / place) if place.endswith(".py") else _imported(place)
    found = getattr(modules[place], attribute, None)
    if not callable(found):
        raise ConfigError(
            f"There is no function {name!r}.", 'Write function = "module:name", or "file.py:name" beside the flow.'
        )
    return found


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise ConfigError(f"The module {name!r} cannot be imported: {error}.", "Install or mend it.") from error


def _module(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"trimtab_flow_{file.stem}", file)
    if not spec or not spec.loader or not file.is_file():
        raise ConfigError(f"There is no Python file {file}.", "Give its path as it is seen from the flow's folder.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except TrimtabError:
        raise
    except Exception as error:
        raise ConfigError(f"{file} cannot be run: {type(error).__name__}: {error}.", "Mend it.") from error
    return module
