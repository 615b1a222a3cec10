"""Names as people, hubs and logs write them, matched to rows; and a rough shape where only sizes can be read."""

import re

import msgspec

from trimtab.plan.architecture import Architecture, Layer, State
from trimtab.plan.models import Listed

SUFFIXES = re.compile(
    r"-(instruct|it|chat|hf|fp8|fp4|nvfp4|mxfp4|bf16|awq|gptq|int4|int8|w4a16|w8a8|base|\d{4}|v\d(\.\d)?"
    r"|thinking|preview|quantized|dynamic|0528|0324)$"
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
    while True:
        if (same := SAME.get(key, key)) in rows:
            return rows[same]
        short = SUFFIXES.sub("", key)
        if short == key:
            return None
        key = short


def sketch(name: str) -> Architecture | None:
    """A shape of common proportions from sizes in a name (`397B-A17B`, `70b`); None where it has none. Where layers
    mostly keep a state (`HYBRIDS`), one in eight attends.

    It is marked as not known: whatever is made of it is extrapolated.
    """
    found = re.search(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)b(?:[-_ .]a(\d+(?:\.\d+)?)b)?", name.lower())
    if not found or not 0.01 <= float(found[1]) <= 5000:
        return None
    total = float(found[1])
    active = float(found[2] or total)
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
