"""A model from its own files: a GGUF header, a safetensors header, a config.json. Nothing is guessed from a name."""

import json
import re
import struct
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from trimtab.errors import ConfigError
from trimtab.plan import _gguf, _hub, quantize
from trimtab.plan.architecture import Architecture
from trimtab.plan.tensors import Tensor, counted

EMBEDDED = re.compile(r"(embed_tokens|word_embeddings|\bwte|embed_in|tok_embeddings)\b.*weight")
HEADER = 100 * 2**20
"""Bytes; safetensors' own limit on a header."""
UNREAD = ("vision_tower", "vision_model", "visual.", "audio_tower", "multi_modal_projector", "mm_projector", "mtp.")
"""Parts of a checkpoint that no token of a text reads."""
PACKED = {"I32": "w4a16", "I8": "mxfp4", "FP8": "fp8"}
"""What weights that are mostly of a type are, in safetensors: an engine's precision."""
KINDS = {
    "F64": "F64", "F32": "F32", "F16": "F16", "BF16": "BF16", "I64": "I64", "I32": "I32", "I8": "I8", "U8": "I8",
    "F8_E4M3": "FP8", "F8_E5M2": "FP8", "F8_E8M0": "FP8", "F8_E4M3FNUZ": "FP8", "F8_E5M2FNUZ": "FP8", "F4": "F4",
    "I16": "I16", "U64": "I64", "U32": "I32", "U16": "I16", "BOOL": "I8",
}  # fmt: skip


def read(path: Path) -> tuple[Architecture, tuple[Tensor, ...]]:
    """The shape and, where the file has them, the tensors with their types.

    `path` is a .gguf, a .safetensors with a config.json beside it, a config.json, or a folder that holds those.

    Raises:
        ConfigError: not such a file, cut short, or of an architecture that is not known.
    """
    shape, found = _read(path)
    return counted(msgspec.structs.replace(shape, active=0.0)), found


def _read(path: Path) -> tuple[Architecture, tuple[Tensor, ...]]:
    if not path.exists():
        raise ConfigError(f"No file {str(path)!r}.", "Give a .gguf, a config.json, or a folder with them.")
    if path.is_dir():
        return _folder(path)
    if path.suffix == ".gguf":
        header = _gguf.header(path)
        return _gguf.shape(header, path.stem), header.tensors
    if path.suffix == ".safetensors":
        shape = _hub.shape(_config(path.parent / "config.json"), path.parent.name)
        return shape, safetensors(path, _share(shape), tied=shape.tied, layers=len(shape.layers))
    if path.suffix == ".json":
        return _hub.shape(_config(path), path.parent.name), ()
    raise ConfigError(f"{path.name!r} is no model file that is known.", "Give a .gguf, .safetensors or config.json.")


def _share(shape: Architecture) -> float:
    """Of routed experts, those that a token uses."""
    return max((layer.used / layer.experts for layer in shape.layers if layer.experts), default=1.0)


def precision(found: Iterable[Tensor]) -> str:
    """What most of a file's bytes are: a GGUF type, or an engine's precision; nothing of no tensors with types."""
    sizes: Counter[str] = Counter()
    for tensor in found:
        if tensor.kind:
            sizes[tensor.kind] += round(quantize.size(tensor, tensor.kind))
    most = max(sizes, key=sizes.__getitem__, default="")
    return PACKED.get(most, most)


def safetensors(path: Path, experts: float = 1.0, *, tied: bool = False, layers: int = 0) -> tuple[Tensor, ...]:
    """The tensors of a .safetensors file, from its header alone; a token reads `experts` of its routed experts, the
    embeddings where they are the output too (`tied`), and no layer beyond `layers` (0: any), which drafts.

    Raises:
        ConfigError: the header is cut short, not JSON, or has a type that is not known.
    """
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else -1
        if not 0 < length <= HEADER:
            raise ConfigError(f"{path.name} is no safetensors file: it has no header.", "Download it again.")
        text = file.read(length)
    if len(text) < length:
        raise ConfigError(
            f"{path.name} is cut short: its header has {len(text)} of {length} bytes.", "Download it again."
        )
    try:
        rows: dict[str, Any] = json.loads(text)
        found = [_row(name, row) for name, row in rows.items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path.name}: its header is broken ({error}).", "Download it again.") from error

    def read(name: str) -> float:
        layer = re.search(r"\blayers\.(\d+)\.", name)
        if any(word in name for word in UNREAD) or (layers and layer and int(layer[1]) >= layers):
            return 0.0
        if EMBEDDED.search(name):
            return float(tied)
        return experts if ".experts." in name else 1.0

    return tuple(msgspec.structs.replace(tensor, read=read(tensor.name)) for tensor in found)


def _row(name: str, row: dict[str, Any]) -> Tensor:
    dims = tuple(int(n) for n in reversed(row["shape"])) or (1,)
    if row["dtype"] not in KINDS:
        raise ConfigError(f"Tensor {name!r} has the type {row['dtype']}, which is not known.", "Update Trimtab.")
    return Tensor(name, dims, kind=KINDS[row["dtype"]])


def _folder(path: Path) -> tuple[Architecture, tuple[Tensor, ...]]:
    if ggufs := sorted(path.glob("*.gguf")):
        return read(ggufs[0])
    shape = _hub.shape(_config(path / "config.json"), path.name)
    return shape, tuple(
        tensor
        for file in sorted(path.glob("*.safetensors"))
        for tensor in safetensors(file, _share(shape), tied=shape.tied, layers=len(shape.layers))
    )


def _config(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(f"No {str(path)!r}.", "A config.json must lie beside the weights.") from error
    except ValueError as error:
        raise ConfigError(f"{str(path)!r} is no JSON: {error}.", "Download it again.") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{str(path)!r} is no model's config.", "It must be a JSON object.")
    return found
