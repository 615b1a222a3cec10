"""Models by name: rows of `catalog/models.csv`, or of a file like it, read as shapes."""

import re
from difflib import get_close_matches
from functools import cache
from pathlib import Path

import msgspec

from trimtab.errors import ConfigError
from trimtab.plan import table, tensors
from trimtab.plan.architecture import ATTENDS, PATTERN, Architecture, Latent, Layer, State

CATALOG = Path(__file__).parent / "catalog" / "models.csv"
NEEDED = ("key", "layers", "hidden", "vocab")
FAMILIES = (
    ("gemma-4", "gemma4"), ("gemma-3n", "gemma3n"), ("gemma", "gemma"), ("phi-3", "phi3"), ("phi-4", "phi3"),
    ("gpt-oss", "gpt-oss"), ("deepseek-r1-distill-llama", "llama"), ("deepseek-r1-distill", "qwen2"),
    ("deepseek", "deepseek2"), ("kimi-k2", "deepseek2"), ("qwen3.5", "qwen35"), ("qwen3.6", "qwen35"),
    ("qwen3-next", "qwen35"), ("qwen2", "qwen2"), ("qwen3", "qwen3"), ("granite-4.0-h", "granite-h"), ("lfm2", "lfm2"),
    ("llama-4", "llama4"), ("afm-", "afm"), ("nemotron", "nemotron-h"), ("falcon-h1", "falcon-h1"),
)  # fmt: skip
"""What a key begins with, the first that fits: families differ in tensors that their hyper-parameters do not show."""


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A row: the shape, and facts that no estimate needs. `quality` maps a benchmark to a percentage."""

    shape: Architecture
    hf_id: str
    licence: str
    released: str
    source: str
    quality: dict[str, float]
    train_tokens: float | None


def find(name: str, path: Path = CATALOG) -> Listed:
    """The row of a model by its key or its name at the hub.

    Raises:
        ConfigError: nobody lists it; the nearest names are said.
    """
    rows, wanted = catalog(path), name.strip().lower()
    for key, row in rows.items():
        if wanted in (key, row.hf_id.lower()) or _squeezed(wanted) == _squeezed(key):
            return row
    near = get_close_matches(wanted, list(rows), 3, 0.4)
    fix = f"Nearest: {', '.join(near)}. Or give" if near else "Give"
    raise ConfigError(f"No model {name!r} in the catalog.", f"{fix} a config.json, .safetensors or .gguf file.")


@cache
def catalog(path: Path = CATALOG) -> dict[str, Listed]:
    """All rows by key.

    Raises:
        ConfigError: a row's cells make no shape; it is said.
    """
    return {row["key"]: read(row) for row in table.rows(path, NEEDED)}


def read(row: table.Line) -> Listed:
    """A row of the schema.

    Raises:
        ConfigError: it has no key, layers, width or vocabulary, or a cell that says nothing that is known.
    """
    scores = {name: row.amount(name) for name in ("mmlu", "mmlu_pro", "gsm8k", "humaneval", "ifeval")}
    return Listed(
        shape=tensors.counted(shape(row)), hf_id=row["hf_id"], licence=row["licence"], released=row["released"],
        source=row["config_source"], quality={name: value for name, value in scores.items() if value},
        train_tokens=row.amount("train_tokens_t") or None,
    )  # fmt: skip


def shape(row: table.Line) -> Architecture:
    """The shape of a row of the models' schema.

    Raises:
        ConfigError: it has no key, layers, width or vocabulary, or a cell that says nothing that is known.
    """
    if missing := [name for name in NEEDED if not (row[name] if name == "key" else _int(row[name]))]:
        raise ConfigError(f"{row.place}: no {', '.join(missing)}.", "A shape follows from those.")
    try:
        return _shape(row)
    except (AttributeError, KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise ConfigError(f"{row.place}: {row['key']} has a cell that says no shape ({error}).", "See models.csv.") \
            from error  # fmt: skip


def _shape(row: table.Line) -> Architecture:
    text = row["attention"]
    names = row["key"].lower(), row["hf_id"].rsplit("/", 1)[-1].lower()
    family = next((family for name in names for start, family in FAMILIES if name.startswith(start)), "llama")
    count = _int(row["layers"])
    kinds = _mixers(count, text, row["linear_state"])
    layers = tuple(_layer(row, index, mixer) for index, mixer in enumerate(kinds))
    return Architecture(
        name=row["key"], family=family, hidden=_int(row["hidden"]), vocab=_int(row["vocab"]),
        tied=row["tied_embeddings"].lower() in ("1", "1.0", "true", "yes"), layers=layers, context=_int(row["context"]),
        params=row.amount("params_total"), active=row.amount("params_active"), latent=_latent(row["mla"]),
        state=_state(row, kinds), per_layer=256 if "KV-share" in text and family in ("gemma3n", "gemma4") else 0,
        known=bool(count and _int(row["kv_heads"])) and "(est)" not in row["kv_heads"],
    )  # fmt: skip


def _pattern(attention: str) -> str:
    found = re.search(r"pattern ([ME*-]+)", attention)
    return found[1] if found else ""


def _mixers(count: int, attention: str, state: str) -> list[str]:
    """What each layer is: by its letter where there is a pattern; else how many of a kind there are, spread evenly."""
    if letters := _pattern(attention):
        return [PATTERN[letter] for letter in letters]
    if "beside" in attention:
        return ["both"] * count
    if "MLA" in attention and not state:
        return ["mla"] * count
    kind = next((kind for word, kind in (("delta", "delta"), ("kda", "delta"), ("mamba", "mamba2"), ("conv", "conv"))
                 if word in f"{attention} {state}".lower()), None)  # fmt: skip
    if not kind or "hybrid" not in attention:
        return ["attention"] * count
    ratio = re.search(r"(\d+):(\d+)", attention)
    stated = re.search(r"(\d+) (?:[\w-]+ )?layers", state)
    if stated:
        recurrent = int(stated[1])
    elif ratio:
        recurrent = count * int(ratio[1]) // (int(ratio[1]) + int(ratio[2]))
    else:
        recurrent = count // 2
    full = "mla" if "MLA" in attention else "attention"
    others = max(1, count - recurrent)
    return [full if (index + 1) * others // count > index * others // count else kind for index in range(count)]


def _layer(row: dict[str, str], index: int, mixer: str) -> Layer:
    local = _is_local(row, index)
    heads, kv, dims = _int(row["heads"]), _int(row["kv_heads"]), _numbers(row["head_dim"])
    head_k = dims[0] if dims else _int(row["hidden"]) // max(heads, 1)
    head_v = dims[-1] if dims else head_k
    if not local and "global" in row["global_pattern"]:
        if found := re.search(r"head_dim (\d+)", row["global_pattern"]):
            head_k = head_v = int(found[1])
        if found := re.search(r"kv_heads (\d+)", row["global_pattern"]):
            kv = int(found[1])
    shared = re.search(r"(\d+) of (\d+)", row["kv_shared_layers"])
    caches = not shared or index < int(shared[2]) - int(shared[1])
    made = Layer(
        mixer=mixer, heads=heads, kv_heads=kv, head_k=head_k, head_v=head_v,  # type: ignore[arg-type]
        window=_window(row) if local else 0, caches=caches and mixer in ATTENDS,
        values=local or "K=V on global" not in row["attention"],
    )  # fmt: skip
    if letters := _pattern(row["attention"]):
        kept = {"-": row | {"moe": ""}, "E": row}.get(letters[index])
        return _with_ffn(kept, index, caches, made) if kept else made
    return _with_ffn(row, index, caches, made)


def _with_ffn(row: dict[str, str], index: int, caches: bool, layer: Layer) -> Layer:
    widths, moe = _numbers(row["ffn"]), row["moe"]
    if not moe:
        wide = widths[-1] if not caches else widths[0]
        return msgspec.structs.replace(layer, ffn=wide)
    experts, used = (int(n) for n in re.search(r"(\d+) experts top-(\d+)", moe).groups())  # type: ignore[union-attr]
    stated = re.search(r"ff(\d+)", moe)
    width = int(stated[1]) if stated else widths[0]
    shared, dense_with = re.search(r"(\d+)? ?\+ (?:(\d+) )?shared ?(\d+)?", moe), re.search(r"\+ dense (\d+)", moe)
    dense_first = re.search(r"(\d+) dense", moe)
    if dense_first and index < int(dense_first[1]):
        return msgspec.structs.replace(layer, ffn=widths[-1])
    if "every 2nd" in moe and index % 2 == 0:
        return msgspec.structs.replace(layer, ffn=widths[-1])
    shared_ffn = 0
    if shared:
        shared_ffn = int(shared[3]) if shared[3] else width * int(shared[2] or 1)
    return msgspec.structs.replace(
        layer, experts=experts, used=used, expert_ffn=width, shared_ffn=shared_ffn,
        ffn=int(dense_with[1]) if dense_with else 0,
    )  # fmt: skip


def _window(row: dict[str, str]) -> int:
    return 0 if "ignore" in row["sliding_window"] else _int(row["sliding_window"])


def _is_local(row: dict[str, str], index: int) -> bool:
    if not _window(row):
        return False
    found = re.search(r"(\d+)(?: local)? ?: ?(\d+)", row["global_pattern"])
    if not found:
        return True
    near, far = int(found[1]), int(found[2])
    return index % (near + far) < near


def _latent(text: str) -> Latent:
    def number(word: str, otherwise: int) -> int:
        found = re.search(rf"{word} (\d+)", text)
        return int(found[1]) if found else otherwise

    return Latent(number("kv_lora", 512), number("q_lora", 0), number("rope", 64)) if text else Latent()


def _state(row: dict[str, str], kinds: list[str]) -> State:
    text = row["linear_state"]
    if "conv" in kinds:
        found = re.search(r"L=(\d+)", text)
        return State(conv=int(found[1]) if found else 3)
    sizes = re.search(r"(\d+) (?:v-)?heads ?x ?(\d+)x(\d+)", text)
    heads, width, size = (int(n) for n in sizes.groups()) if sizes else (32, 128, 128)
    if "mamba2" in kinds or "both" in kinds:
        groups = re.search(r"(\d+) groups", text)
        return State(heads * width, size, int(groups[1]) if groups else 1, 4, heads)
    if "delta" in kinds:
        return State(heads * width, size, min(16, heads), 4, heads)
    return State()


def _squeezed(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name)


def _numbers(text: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", text)]


def _int(text: str) -> int:
    plain = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    return next(iter(_numbers(plain.split(".", maxsplit=1)[0])), 0)
