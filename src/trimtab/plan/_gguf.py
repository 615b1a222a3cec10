"""GGUF headers: keys, tensors with their types, and the shape that follows. Format: ggml `docs/gguf.md`, 2 and 3."""

import re
import struct
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from trimtab.errors import ConfigError
from trimtab.plan.architecture import ATTENDS, Architecture, Latent, Layer, Mixer, State
from trimtab.plan.quantize import BLOCKS
from trimtab.plan.tensors import LOOKED_UP, Tensor

SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
TEXT, ARRAY = 8, 9
TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K",
    12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S",
    20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64",
    29: "IQ1_M", 30: "BF16", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4",
}  # fmt: skip
GUESSED = ("kimi-linear", "plamo2", "plamo3", "rwkv6", "rwkv7", "arwkv7", "mamba")
"""Architectures whose states are not read from their keys."""
MOST_KEYS, MOST_TENSORS, LONGEST, LONGEST_LIST = 100_000, 1_000_000, 64 * 2**20, 50_000_000
WINDOWED = {"gemma2": 2, "gemma3": 6, "gemma3n": 5, "gpt-oss": 2, "cohere2": 4, "llama4": 4, "exaone4": 4, "olmo2": 4}
"""Every n-th layer sees all of the context, where the file has no pattern of its own (llama.cpp `load_hparams`)."""
FAMILIES = {"llama": "llama", "qwen2": "qwen2", "phi3": "phi3", "gpt-oss": "gpt-oss", "deepseek2": "deepseek2",
            "qwen3moe": "qwen3", "granitehybrid": "granite-h", "lfm2moe": "lfm2",
            "nemotron_h": "nemotron-h", "nemotron_h_moe": "nemotron-h"}  # fmt: skip


DRAFTING = ("glm4moe",)
"""Architectures whose last layers, that predict a token further, llama.cpp neither loads nor gives a cache."""


class Header(msgspec.Struct, frozen=True):
    """Keys of a file (long lists by their first entries only) and its tensors."""

    keys: dict[str, Any]
    tensors: tuple[Tensor, ...]


def header(path: Path) -> Header:
    """Read a header; of a file in parts, those of all of them, whichever is named.

    Raises:
        ConfigError: not a GGUF, of another version, cut short, with sizes that cannot be, or without its other parts.
    """
    first = _part(path)
    count = first.keys.get("split.count")
    parts = [_part(each) for each in _parts(path, count)] if isinstance(count, int) and count > 1 else [first]
    keys = {word: value for part in reversed(parts) for word, value in part.keys.items()}
    rows = [row for part in parts for row in part.tensors]
    arch = keys.get("general.architecture")
    if arch in DRAFTING and isinstance(drafts := keys.get(f"{arch}.nextn_predict_layers"), int):
        last = int(keys.get(f"{arch}.block_count", 0)) - drafts
        rows = [row for row in rows if not ((block := re.match(r"blk\.(\d+)\.", row.name)) and int(block[1]) >= last)]
        keys = keys | {f"{arch}.block_count": last}
    tied = all(row.name != "output.weight" for row in rows)
    used, of = (keys.get(f"{arch}.expert{end}") for end in ("_used_count", "_count"))
    share = used / of if isinstance(used, int) and isinstance(of, int) and used and of else 1.0

    def read(name: str) -> float:
        if name == LOOKED_UP[1] or (name == LOOKED_UP[0] and not tied):
            return 0.0
        return share if "_exps" in name else 1.0

    return Header(keys, tuple(msgspec.structs.replace(row, read=read(row.name)) for row in rows))


def _parts(path: Path, count: int) -> list[Path]:
    """The files of a model that llama-gguf-split cut, in order."""
    found = re.fullmatch(r"(.+)-\d{5}-of-(\d{5})\.gguf", path.name)
    if not found or int(found[2]) != count:
        raise ConfigError(f"{path.name} is one of {count} parts, and its name does not say which.", "Keep its name.")
    parts = [path.with_name(f"{found[1]}-{n + 1:05}-of-{found[2]}.gguf") for n in range(count)]
    if missing := next((part for part in parts if not part.exists()), None):
        raise ConfigError(f"{path.name} is one of {count} parts: {missing.name} is not there.", "Download all of them.")
    return parts


def _part(path: Path) -> Header:
    with path.open("rb") as file:
        try:
            return _header(file, path.name)
        except (struct.error, UnicodeDecodeError, EOFError) as error:
            raise ConfigError(
                f"{path.name} is cut short: its header ends in the middle.", "Download it again."
            ) from error


def shape(found: Header, name: str) -> Architecture:
    """The shape that a header tells.

    Raises:
        ConfigError: a key that every model has is missing, or is of another type.
    """
    try:
        return _shape(found, name)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError, IndexError) as error:
        raise ConfigError(f"{name}: the header garbles a key ({error}).", "Download it again.") from error


def _shape(found: Header, name: str) -> Architecture:
    keys, arch = found.keys, str(found.keys.get("general.architecture", ""))

    def key(word: str, otherwise: Any = 0) -> Any:
        return keys.get(f"{arch}.{word}", otherwise)

    count, hidden, heads = int(key("block_count")), int(key("embedding_length")), key("attention.head_count")
    if not (arch and count and hidden) or count > 10_000:
        raise ConfigError(f"{name}: the header names no architecture, layers or width.", "Is it a language model?")
    table = next((tensor for tensor in found.tensors if tensor.name == "token_embd.weight"), None)
    names = {tensor.name for tensor in found.tensors}
    width = key("attention.key_length", 0) or hidden // max(1, *_all(heads, count))
    layers = tuple(_layer(index, count, key, names, int(width), arch) for index in range(count))
    mamba1 = any(name.endswith("ssm_x.weight") for name in names)  # it has no groups of states
    return Architecture(
        name=name, family=FAMILIES.get(arch, arch), hidden=hidden, vocab=table.dims[1] if table else 0,
        tied="output.weight" not in names, layers=layers, context=int(key("context_length")),
        params=float(sum(tensor.count for tensor in found.tensors)),
        latent=Latent(int(key("attention.kv_lora_rank", 512)), int(key("attention.q_lora_rank")),
                      int(key("rope.dimension_count", 64))),
        state=State(int(key("ssm.inner_size")), int(key("ssm.state_size")),
                    0 if mamba1 else int(key("ssm.group_count", 1)) or 1,
                    int(key("ssm.conv_kernel", 0) or key("shortconv.l_cache", 4)), int(key("ssm.time_step_rank"))),
        known=arch not in GUESSED and (
            arch in WINDOWED or arch in FAMILIES or arch.startswith("gemma4")
            or not key("attention.sliding_window") or bool(key("attention.sliding_window_pattern"))),
    )  # fmt: skip


def _layer(index: int, count: int, key: Any, names: set[str], width: int, arch: str) -> Layer:
    at = f"blk.{index}."
    heads, kv = (_all(key(f"attention.head_count{end}"), count)[index] for end in ("", "_kv"))
    mixer: Mixer = "attention"
    if f"{at}attn_kv_a_mqa.weight" in names:
        mixer = "mla"
    elif f"{at}ssm_alpha.weight" in names or f"{at}ssm_ba.weight" in names:
        mixer = "delta"
    elif f"{at}ssm_in.weight" in names:
        mixer = "both" if f"{at}attn_q.weight" in names else "mamba2"
    elif f"{at}shortconv.in_proj.weight" in names:
        mixer = "conv"
    elif f"{at}attn_norm.weight" in names and not {f"{at}attn_q.weight", f"{at}attn_qkv.weight"} & names:
        mixer = "none"
    window = _window(index, key, arch)
    head_k = int(key("attention.key_length_swa", width) if window else width)
    head_v = int(key("attention.value_length_swa", 0) if window else 0) or int(key("attention.value_length", head_k))
    if mixer == "mla":
        head_k, head_v = int(key("attention.key_length_mla", head_k)), int(key("attention.value_length_mla", head_v))
    reused = int(key("attention.shared_kv_layers"))
    return Layer(
        mixer=mixer, heads=heads, kv_heads=kv or (heads if mixer == "attention" and not key("attention.head_count_kv")
        else kv), head_k=head_k, head_v=head_v, window=window,
        caches=mixer in ATTENDS and index < count - reused, values=f"{at}attn_v.weight" in names,
        ffn=_all(key("feed_forward_length"), count)[index] if f"{at}ffn_down.weight" in names else 0,
        experts=int(key("expert_count")) if f"{at}ffn_gate_inp.weight" in names else 0,
        used=int(key("expert_used_count")), expert_ffn=int(key("expert_feed_forward_length")),
    )  # fmt: skip


def _window(index: int, key: Any, arch: str) -> int:
    window, pattern = int(key("attention.sliding_window")), key("attention.sliding_window_pattern", None)
    if arch == "llama4":
        window = window or 8192
    if not window or (arch not in WINDOWED and pattern is None):
        return 0
    if isinstance(pattern, list):
        return window if index < len(pattern) and pattern[index] else 0
    every = int(pattern or WINDOWED[arch])
    return window if every and index % every < every - 1 else 0


def _all(value: Any, count: int) -> list[int]:
    if isinstance(value, list):
        return [int(n) for n in value] + [0] * (count - len(value))
    return [int(value or 0)] * count


def _header(file: BinaryIO, name: str) -> Header:
    if file.read(4) != b"GGUF":
        raise ConfigError(f"{name} is no GGUF file.", "Give a .gguf that llama.cpp made.")
    version = _number(file, "<I")
    if version not in (2, 3):
        raise ConfigError(f"{name} is GGUF version {version}.", "Versions 2 and 3 are read; convert it again.")
    tensors, keys = _number(file, "<Q"), _number(file, "<Q")
    if tensors > MOST_TENSORS or keys > MOST_KEYS:
        raise ConfigError(f"{name} claims {tensors} tensors and {keys} keys.", "It is broken: download it again.")
    found: dict[str, Any] = {}
    for _ in range(keys):
        word = _text(file)
        found[word] = _value(file, _number(file, "<I"))
    return Header(found, tuple(_tensor(file, name) for _ in range(tensors)))


def _tensor(file: BinaryIO, name: str) -> Tensor:
    word, rank = _text(file), _number(file, "<I")
    if rank > 8:
        raise ConfigError(f"{name}: tensor {word!r} has {rank} dimensions.", "It is broken: download it again.")
    dims = tuple(_number(file, "<Q") for _ in range(rank)) or (1,)
    kind = TYPES.get(number := _number(file, "<I"), "")
    if kind not in BLOCKS:
        raise ConfigError(f"{name}: tensor {word!r} has the type {number}, which is not known.", "Update Trimtab.")
    _number(file, "<Q")
    return Tensor(word, dims, kind=kind)


def _value(file: BinaryIO, kind: int) -> Any:
    if kind in SCALARS:
        return _number(file, SCALARS[kind])
    if kind == TEXT:
        return _text(file)
    if kind != ARRAY:
        raise EOFError
    inner, length = _number(file, "<I"), _number(file, "<Q")
    if length > LONGEST_LIST:
        raise EOFError
    if inner in SCALARS and length > 4096:  # scores and kinds of tokens: not needed here
        file.seek(struct.calcsize(SCALARS[inner]) * length, 1)
        return []
    return [_value(file, inner) for _ in range(length)][:4096]


def _text(file: BinaryIO) -> str:
    length = _number(file, "<Q")
    if length > LONGEST:
        raise EOFError
    found = file.read(length)
    if len(found) < length:
        raise EOFError
    return found.decode("utf-8", "replace")


def _number(file: BinaryIO, form: str) -> Any:
    return struct.unpack(form, file.read(struct.calcsize(form)))[0]
