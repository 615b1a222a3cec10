"""A folder of shipped weights and the manifest that seals it: each file's SHA-256 is checked before anything is used.

The hash shows that the files are those the manifest was written for (a cut download, a large-file pointer, a changed
byte); it does not show who wrote the manifest.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from trimtab.errors import ConfigError

MANIFEST = "manifest.json"


def seal(folder: Path, names: list[str], facts: dict[str, Any]) -> None:
    """Write `folder`'s manifest: the facts (source, licence, how made), then size and SHA-256 of each named file."""
    files = {name: {"bytes": (folder / name).stat().st_size, "sha256": digest(folder / name)} for name in names}
    (folder / MANIFEST).write_text(json.dumps({**facts, "files": files}, indent=2) + "\n", "utf-8")


def opened(folder: Path, needed: list[str], fix: str) -> dict[str, Any]:
    """The manifest of `folder`, once every file it lists has been found to be the one that was sealed.

    `needed` are files that must be listed; `fix` tells the user how to get them again.
    Raises `ConfigError` where the manifest or a file is missing, unreadable or not what was sealed.
    """
    manifest = _manifest(folder / MANIFEST, fix)
    files = manifest.get("files")
    if not isinstance(files, dict) or not set(needed) <= set(files):
        raise ConfigError(f"{folder / MANIFEST} does not list {', '.join(needed)}.", fix=fix)
    for name, sealed in files.items():
        _check(folder, name, sealed, fix)
    return manifest


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(path: Path, fix: str) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read ({error}).", fix=fix) from error
    if not isinstance(manifest, dict):
        raise ConfigError(f"{path} is not a JSON object.", fix=fix)
    return manifest


def _check(folder: Path, name: str, sealed: Any, fix: str) -> None:
    if Path(name).name != name:
        raise ConfigError(f"{folder / MANIFEST} lists {name!r}, which lies outside its folder.", fix=fix)
    try:
        found = digest(folder / name)
    except OSError as error:
        raise ConfigError(f"{folder / name} cannot be read ({error}).", fix=fix) from error
    if not isinstance(sealed, dict) or sealed.get("sha256") != found:
        raise ConfigError(f"{folder / name} is not the file that was sealed (its SHA-256 is {found}).", fix=fix)
