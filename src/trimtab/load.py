"""From `kind = "x"` to code: `x` is the file `<stage>/x.py`; a dotted kind is an installed module."""

import importlib
import importlib.util
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from trimtab.errors import ConfigError

VERBS = {
    "guard": ("check",), "route": ("route",), "retrieve": ("retrieve",), "answer": ("answer",),
    "verify": ("applies", "verify"), "approve": ("approve",), "record": ("record",),
}  # fmt: skip
"""What is asked of a built kind of each stage: the methods of its port."""
STAGES = tuple(VERBS)


def kinds(stage: str) -> tuple[str, ...]:
    """The kinds of a stage: its files without a leading underscore, by name; nothing is imported."""
    folder = Path(__file__).parent / stage
    return tuple(sorted(path.stem for path in folder.glob("[!_]*.py")))


def kind(stage: str, name: str) -> ModuleType:
    """The module of a kind: it has `Options` and `build`. Raises `ConfigError` that lists the kinds there are."""
    dotted = "." in name and all(part.isidentifier() for part in name.split("."))
    if not dotted and name not in kinds(stage):
        near = get_close_matches(name, kinds(stage), 1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise ConfigError(
            f"There is no {stage} kind {name!r}.",
            f"{hint}The kinds are: {', '.join(kinds(stage))}; or name an installed module with a dot in it.",
        )
    try:
        module = importlib.import_module(name if dotted else f"trimtab.{stage}.{name}")
    except Exception as error:  # an installed module may raise anything
        fix = "Install what it needs." if isinstance(error, ImportError) else "Mend that module."
        raise ConfigError(f"The {stage} kind {name!r} cannot be imported: {error}.", fix) from error
    cls = getattr(module, "Options", None)
    parts = ("build", "spec") if stage == "answer" else ("build",)
    if not (isinstance(cls, type) and issubclass(cls, msgspec.Struct) and all(hasattr(module, part) for part in parts)):
        needs = "Options (a msgspec.Struct) and build(options, tools)" + ", spec(options)" * (stage == "answer")
        raise ConfigError(f"{name!r} is not a {stage} kind.", f"A {stage} kind is a module with {needs}.")
    return module


def fits(stage: str, name: str, built: Any) -> Any:
    """What a kind built, if it can be asked what its stage asks. Raises `ConfigError`."""
    missing = [verb for verb in VERBS[stage] if not callable(getattr(built, verb, None))]
    if missing:
        raise ConfigError(
            f"{name!r} is not a {stage} kind: what it builds has no {', '.join(missing)}.",
            f"The kinds are: {', '.join(kinds(stage))}.",
        )
    return built


def options(stage: str, name: str, given: dict[str, Any]) -> Any:
    """The kind's frozen `Options` from its settings. Raises `ConfigError` with the place of what is wrong."""
    cls = kind(stage, name).Options
    try:
        return msgspec.convert(given, cls, strict=True)
    except msgspec.ValidationError as error:
        fields = ", ".join(cls.__struct_fields__) or "none"
        raise ConfigError(f"{stage} {name!r}: {error}.", f"Its options are: {fields}.") from error


def function(named: str, folder: Path) -> Callable[..., Any]:
    """The user's own function: `checks.py:total` in the recipe's folder, or `package.module:total`.

    The file is run as any module is: it is the operator's code, with the operator's rights. Raises `ConfigError`.
    """
    place, _, name = named.partition(":")
    if not (place and name.isidentifier()):
        raise ConfigError(f"{named!r} names no function.", 'Write "checks.py:name" or "package.module:name".')
    found = getattr(module(place, folder), name, None)
    if not callable(found):
        raise ConfigError(f"{place!r} has no function {name!r}.", "Correct the name.")
    return found


def module(place: str, folder: Path) -> ModuleType:
    """The user's own module: a file of the recipe's folder, or an installed one. Raises `ConfigError`."""
    try:
        return _file(folder, place) if place.endswith(".py") else importlib.import_module(place)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"{place!r} cannot be imported: {error}.", "Mend that file.") from error


def _file(folder: Path, place: str) -> ModuleType:
    """A file of the recipe's folder as a module; none outside of it."""
    path = (folder / place).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise ConfigError(f"There is no file {place!r} in {folder}.", "Its functions lie in the recipe's own folder.")
    spec = importlib.util.spec_from_file_location(f"trimtab_recipe_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{place!r} is no Python file.", "Correct the name.")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made
