"""From `kind = "x"` to code: `x` is the file `<stage>/x.py`; a dotted kind is an installed module."""

import importlib
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from trimtab.errors import ConfigError

STAGES = ("guard", "route", "retrieve", "answer", "verify", "approve", "record")


def kinds(stage: str) -> tuple[str, ...]:
    """The kinds of a stage: its files without a leading underscore, by name; nothing is imported."""
    folder = Path(__file__).parent / stage
    return tuple(sorted(path.stem for path in folder.glob("[!_]*.py")))


def kind(stage: str, name: str) -> ModuleType:
    """The module of a kind: it has `Options` and `build`. Raises `ConfigError` that lists the kinds there are."""
    dotted = "." in name
    if not dotted and name not in kinds(stage):
        near = get_close_matches(name, kinds(stage), 1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise ConfigError(
            f"There is no {stage} kind {name!r}.",
            f"{hint}The kinds are: {', '.join(kinds(stage))}; or name an installed module with a dot in it.",
        )
    try:
        module = importlib.import_module(name if dotted else f"trimtab.{stage}.{name}")
    except ImportError as error:
        raise ConfigError(
            f"The {stage} kind {name!r} cannot be imported: {error}.", "Install what it needs."
        ) from error
    if not (hasattr(module, "Options") and hasattr(module, "build")):
        raise ConfigError(
            f"{name!r} is not a {stage} kind.", "A kind is a module with Options and build(options, tools)."
        )
    return module


def options(stage: str, name: str, given: dict[str, Any]) -> Any:
    """The kind's frozen `Options` from its settings. Raises `ConfigError` with the place of what is wrong."""
    cls = kind(stage, name).Options
    try:
        return msgspec.convert(given, cls, strict=True)
    except msgspec.ValidationError as error:
        fields = ", ".join(cls.__struct_fields__) or "none"
        raise ConfigError(f"{stage} {name!r}: {error}.", f"Its options are: {fields}.") from error
