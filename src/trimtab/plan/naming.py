"""Names as people, hubs and logs write them, matched to rows; and a rough shape where only sizes can be read."""

import re
from functools import cache

import msgspec

from trimtab.plan.architecture import Architecture, Layer, State
from trimtab.plan.models import Listed

SUFFIXES = re.compile(
    r"[-_.](instruct|it|chat|hf|fp8|fp4|nvfp4|mxfp4|bf16|f16|awq|gptq|int4|int8|w4a16|w8a8|w8a16|base|\d{4}|v\d(\.\d)?"
    r"|thinking|preview|quantized|dynamic|0528|0324|gguf|mlx|bnb|[468]bit|i?q\d(_[a-z0-9]+)*|ud|kv|qat|latest|text"
    r"|reasoning|safeguard|terminus|speciale|exp|tput|turbo)$"
)
SAME = {
    "deepseek-r1": "deepseek-v3", "deepseek-v3.1": "deepseek-v3", "deepseek-v3.2": "deepseek-v3",
    "kimi-k2.5": "kimi-k2", "kimi-k2.6": "kimi-k2", "minimax-m2": "minimax-m2.5", "minimax-m2.1": "minimax-m2.5",
    "llama-3.3-70b": "llama-3.1-70b", "meta-llama-3-8b": "llama-3-8b", "meta-llama-3-70b": "llama-3-70b",
    "meta-llama-3.1-8b": "llama-3.1-8b", "meta-llama-3.1-70b": "llama-3.1-70b", "glm-5.1": "glm-5",
    "meta-llama-3.1-405b": "llama-3.1-405b", "mixtral-8x7b-v0.1": "mixtral-8x7b", "qwen3.6-27b": "qwen3.5-27b",
    "qwen3.6-35b-a3b": "qwen3.5-35b-a3b", "qwen3-coder-30b-a3b": "qwen3-30b-a3b",
    "nvidia_nemotron-cascade-2-30b-a3b": "nemotron-3-nano-30b-a3b",
    "nemotron-cascade-2-30b-a3b": "nemotron-3-nano-30b-a3b",
    "nvidia-nemotron-3-nano-30b-a3b": "nemotron-3-nano-30b-a3b", "lfm2.5-8b-a1b": "lfm2-8b-a1b",
    "nvidia-nemotron-nano-12b": "nemotron-nano-12b-v2", "nvidia-nemotron-nano-9b": "nemotron-nano-9b-v2",
    "lfm2.5-1.2b": "lfm2-1.2b",
    "llama-4-scout-17b-16e": "llama-4-scout", "llama-4-maverick-17b-128e": "llama-4-maverick",
}  # fmt: skip
"""Models that have the shape of another one."""
ALIKE = tuple((re.compile(words), same) for words, same in (
    (r"^qwen2\.5-(coder|math|vl)-(.+)", r"qwen2.5-\2"), (r"^qwen3-vl-(.+)", r"qwen3-\1"), (r"^qwq-32b", "qwen2.5-32b"),
    (r"^qwen3-coder-next", "qwen3-next-80b-a3b"), (r"^deepseek-r1-distill-qwen-(7|14|32)b", r"qwen2.5-\1b"),
    (r"^deepseek-r1-distill-llama-", "llama-3.1-"), (r"^hermes-[34].*-(8|70|405)b", r"llama-3.1-\1b"),
    (r"^llama-guard-3-8b", "llama-3.1-8b"), (r"^tulu-3-", "llama-3.1-"), (r"^code-?llama-(7|13)b.*", r"llama-2-\1b"),
    (r"^vicuna-(7|13)b.*", r"llama-2-\1b"), (r"^(zephyr|openhermes|mistral)-7b.*", "mistral-7b-v0.3"),
    (r"^(devstral|magistral)-small.*", "mistral-small-24b"), (r"^mistral-small-3[.\d]*-24b", "mistral-small-24b"),
    (r"^medgemma-(4|27)b", r"gemma-3-\1b"), (r"^glm-4\.[67]$", "glm-4.5"), (r"^mistral-large$", "mistral-large-2411"),
    (r"^deepseek-coder-v2-lite", "deepseek-v2-lite"), (r"^deepseek-(coder-v2|v2\.5)$", "deepseek-v2"),
))  # fmt: skip
"""Models that were made from another one, and have its shape (vocabularies may differ by some tokens)."""
HYBRIDS = (
    r"nemotron.*(nano|-h|cascade|super)|jamba|bamba|zamba|falcon-?h1|granite-4.*-h|lfm-?2|qwen3[-_.]?next|qwen3\.[5-9]"
    r"|kimi-linear|minimax-text|mamba|ring-.*linear|ornith|plamo-?[23]"
)
"""Names of models most of whose layers keep a state in place of a cache."""
TYPICAL = ((1, 24, 1536), (4, 32, 2560), (9, 32, 4096), (16, 40, 5120), (40, 64, 5120), (90, 80, 8192),
           (150, 62, 4096), (300, 94, 4096), (500, 61, 6144), (1e9, 61, 7168))  # fmt: skip
"""Up to so many 1e9 parameters: layers and width that are common."""


def match(name: str, rows: dict[str, Listed]) -> Listed | None:
    """The row that `name` means, a hub's or a person's way of writing it; None where none does."""
    key = name.strip().lower()
    for known, row in rows.items():
        if key in (known, row.hf_id.lower()):
            return row
    key = key.rsplit("/", 1)[-1]
    plain = _plain(tuple(rows))
    while True:
        if (same := SAME.get(key, key)) in rows:
            return rows[same]
        if known := plain.get(_squeezed(key)):
            return rows[known]
        for pattern, like in ALIKE:
            if (same := pattern.sub(like, key)) != key and same in rows:
                return rows[same]
        short = SUFFIXES.sub("", key)
        if short == key:
            return None
        key = short


@cache
def _plain(keys: tuple[str, ...]) -> dict[str, str]:
    return {_squeezed(key): key for key in keys}


def _squeezed(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name)


def sketch(name: str) -> Architecture | None:
    """A shape of common proportions from sizes in a name (`397B-A17B`, `70b`); None where it has none. Where layers
    mostly keep a state (`HYBRIDS`), one in eight attends.

    It is marked as not known: whatever is made of it is extrapolated.
    """
    total, active = _sizes(name.lower())
    if not 0.01 <= total <= 5000:
        return None
    count, hidden = next((layers, width) for limit, layers, width in TYPICAL if total <= limit)
    attention = 2 * hidden * (hidden + 8 * 128)
    each = max(64, int((total * 1e9 / count - attention) / (3 * hidden)))
    layer = Layer(heads=hidden // 128, kv_heads=8, head_k=128, head_v=128, ffn=each)
    if active < total:
        layer = Layer(heads=hidden // 128, kv_heads=8, head_k=128, head_v=128, experts=128,
                      used=max(1, round(128 * active / total)), expert_ffn=max(32, each // 128))  # fmt: skip
    hybrid = re.search(HYBRIDS, name.lower())
    other = msgspec.structs.replace(layer, mixer="mamba2", caches=False) if hybrid else layer
    return Architecture(
        name=name, family="llama", hidden=hidden, vocab=150_000, tied=False,
        layers=tuple(layer if index % 8 == 7 else other for index in range(count)),
        state=State(2 * hidden, 128, 8, 4, hidden // 32) if hybrid else State(),
        params=total * 1e9, active=active * 1e9, known=False,
    )  # fmt: skip


def _sizes(name: str) -> tuple[float, float]:
    """1e9 parameters in all, and those that a token uses; 0 where a name says none. Of `8x22b` experts share all but
    their feed-forwards: Mixtral's have five sixths of the product, and a token nine tenths of two of them."""
    if found := re.search(r"(?<![a-z0-9.])(\d+)x(\d+(?:\.\d+)?)b", name):
        return int(found[1]) * float(found[2]) * 0.82, 2 * float(found[2]) * 0.9
    found = re.search(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)b(?:[-_ .]a(\d+(?:\.\d+)?)b)?", name)
    return (float(found[1]), float(found[2] or found[1])) if found else (0.0, 0.0)
