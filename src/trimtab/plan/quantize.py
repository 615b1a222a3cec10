"""Which type llama-quantize gives to each tensor, its fallbacks included, and the bytes that follow.

Source: ggml-org/llama.cpp 0c1e570, `src/llama-quant.cpp` (mixtures, fallbacks) and `ggml/src/ggml-common.h` (blocks).
"""

import re
from collections import Counter
from collections.abc import Iterable

from trimtab.errors import ConfigError
from trimtab.plan.architecture import Architecture
from trimtab.plan.tensors import Tensor

BLOCKS: dict[str, tuple[int, int]] = {
    "F32": (1, 4), "F16": (1, 2), "BF16": (1, 2), "I32": (1, 4), "I16": (1, 2), "I8": (1, 1), "I64": (1, 8),
    "F64": (1, 8), "FP8": (1, 1), "F4": (2, 1), "Q4_0": (32, 18), "Q4_1": (32, 20), "Q5_0": (32, 22), "Q5_1": (32, 24),
    "Q8_0": (32, 34), "Q8_1": (32, 36), "Q2_K": (256, 84), "Q3_K": (256, 110), "Q4_K": (256, 144), "Q5_K": (256, 176),
    "Q6_K": (256, 210), "Q8_K": (256, 292), "IQ1_S": (256, 50), "IQ1_M": (256, 56), "IQ2_XXS": (256, 66),
    "IQ2_XS": (256, 74), "IQ2_S": (256, 82), "IQ3_XXS": (256, 98), "IQ3_S": (256, 110), "IQ4_NL": (32, 18),
    "IQ4_XS": (256, 136), "TQ1_0": (256, 54), "TQ2_0": (256, 66), "MXFP4": (32, 17), "NVFP4": (64, 36),
}  # fmt: skip
"""Numbers a block, and its bytes."""
DEFAULTS = {
    "Q2_K_S": "Q2_K", "Q3_K_S": "Q3_K", "Q3_K_M": "Q3_K", "Q3_K_L": "Q3_K", "Q4_K_S": "Q4_K", "Q4_K_M": "Q4_K",
    "Q5_K_S": "Q5_K", "Q5_K_M": "Q5_K", "IQ2_S": "IQ2_XS", "IQ2_M": "IQ2_S", "IQ3_XS": "IQ3_S", "IQ3_M": "IQ3_S",
    "MXFP4_MOE": "MXFP4",
}  # fmt: skip
"""The type most tensors get, where it is not the mixture's own name."""
FALLBACK = {
    **dict.fromkeys(("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_XS"), "IQ4_NL"),
    **dict.fromkeys(("Q2_K", "Q3_K", "TQ1_0", "TQ2_0"), "Q4_0"), "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0",
}  # fmt: skip
"""For rows that blocks of 256 do not divide."""
IMATRIX = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS", "Q2_K_S")
"""Mixtures that llama-quantize makes with an importance matrix only."""
NEVER = (
    "_norm.weight", "ffn_gate_inp.weight", "altup", "laurel", "per_layer_model_proj", "ssm_conv1d",
    "shortconv.conv.weight", "indexer.",
)  # fmt: skip
EMBEDDINGS = {
    **dict.fromkeys(("IQ2_XXS", "IQ2_XS", "IQ1_S", "IQ1_M"), "Q2_K"), "IQ2_S": "IQ3_S", "IQ2_M": "IQ3_S",
    "IQ3_XXS": "IQ3_S", "TQ1_0": "Q4_K", "TQ2_0": "Q4_K",
}  # fmt: skip
"""Tables of embeddings that are not the output too."""
FULL = ("ffn_gate_inp.weight", "ssm_conv1d", "_norm")
"""Of those, what converters keep at 32 bit."""
MIXTURES = ("F32", "F16", "BF16", *dict.fromkeys((
    "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q5_0", "Q5_1", "Q4_K_M", "Q4_K_S", "Q4_0", "Q4_1", "IQ4_NL", "IQ4_XS",
    "MXFP4_MOE", "Q3_K_L", "Q3_K_M", "Q3_K_S", "IQ3_M", "IQ3_S", "IQ3_XS", "IQ3_XXS", "Q2_K", "Q2_K_S", "IQ2_M",
    "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S", "TQ2_0", "TQ1_0",
)))  # fmt: skip
"""What `llama-quantize` offers, the largest first."""


def types(shape: Architecture, tensors: Iterable[Tensor], mixture: str) -> list[tuple[Tensor, str]]:
    """Each tensor with the type it gets; one that was read from a file with a type keeps it.

    Raises:
        ConfigError: no such mixture.
    """
    mixture = mixture.upper()
    if mixture not in MIXTURES:
        raise ConfigError(f"No quantization {mixture!r}.", f"Known: {', '.join(MIXTURES)}.")
    chooser = _Chooser(shape, mixture)
    ordered = sorted(tensors, key=lambda tensor: (_index(tensor.name), tensor.name))
    chooser.tied = not any(tensor.name == "output.weight" for tensor in ordered)
    return [(tensor, tensor.kind or chooser.type(tensor)) for tensor in ordered]


def size(tensor: Tensor, kind: str) -> float:
    """Bytes of a tensor in a type, rows padded to whole blocks."""
    numbers, width = BLOCKS[kind]
    return -(-tensor.dims[0] // numbers) * width * (tensor.count // max(tensor.dims[0], 1))


class _Chooser:
    """The walk over a model's tensors: some rules count those that came before."""

    def __init__(self, shape: Architecture, mixture: str) -> None:
        self.shape, self.mixture, self.tied = shape, mixture, True
        self.default = DEFAULTS.get(mixture, mixture)
        self.imatrix = mixture in IMATRIX
        first = shape.layers[0]
        kv = 1 if first.mixer == "mla" else first.kv_heads
        self.grouped = first.heads // kv if kv and first.mixer in ("attention", "mla") else first.heads // max(kv, 1)
        self.experts = shape.experts
        self.values = sum(layer.mixer in ("attention", "delta") and layer.values for layer in shape.layers)
        self.seventy = len(shape.layers) == 80 and self.grouped > 1 and shape.family in ("llama", "qwen2")
        self.seen: Counter[str] = Counter()

    def type(self, tensor: Tensor) -> str:
        name = tensor.name
        if len(tensor.dims) < 2 or not name.endswith("weight") or any(word in name for word in NEVER):
            return (
                "F32" if len(tensor.dims) < 2 or name.endswith("bias") or any(w in name for w in FULL) else self._16()
            )
        if self.default in ("F32", "F16", "BF16"):
            return self.default
        kind = self._mixed(tensor)
        if tensor.dims[0] % BLOCKS[kind][0]:
            kind = FALLBACK.get(kind, kind)
            if tensor.dims[0] % BLOCKS[kind][0]:
                return "F16"
        return kind

    def _16(self) -> str:
        return self.default if self.default in ("F32", "BF16") else "F16"

    def _mixed(self, tensor: Tensor) -> str:
        name, mix = tensor.name, self.mixture
        embedding = name in ("token_embd.weight", "per_layer_token_embd.weight")
        if name == "output.weight" or (self.tied and embedding):
            return self._output(tensor)
        if mix == "MXFP4_MOE":
            return "MXFP4" if len(tensor.dims) > 2 and tensor.dims[2] > 1 else "Q8_0"
        return EMBEDDINGS.get(mix, self.default) if embedding else self._inner(name, mix)

    def _inner(self, name: str, mix: str) -> str:
        low = mix in ("IQ2_XXS", "IQ2_XS", "IQ1_S", "IQ2_S", "IQ2_M", "IQ1_M")
        if any(word in name for word in ("attn_qkv.weight", "attn_kv_b.weight", "attn_v.weight")):
            return self._values(low)
        if "attn_k.weight" in name and self.experts == 8:
            return "Q4_K" if low else "Q8_0"
        if "attn_k.weight" in name or "attn_q.weight" in name:
            return {"IQ3_XS": "IQ3_XXS", "IQ3_XXS": "IQ2_S"}.get(mix, self.default)
        if "attn_output.weight" in name:
            return self._attention_output(low)
        if "ffn_down" in name:
            return self._down(name, low)
        if ("ffn_up" in name or "ffn_gate" in name) and mix == "IQ3_XS":
            layers = len(self.shape.layers)
            return "IQ3_XXS" if layers // 8 <= _index(name) < 7 * layers // 8 else self.default
        return self.default

    def _output(self, tensor: Tensor) -> str:
        if self.mixture == "MXFP4_MOE" or tensor.dims[0] % BLOCKS[self.default][0]:
            return "Q8_0"
        if self.mixture in ("IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ2_S", "IQ2_M", "IQ1_M"):
            return "Q5_K"
        return "Q8_0" if self.default == "Q8_0" else "Q6_K"

    def _values(self, low: bool) -> str:
        mix, grouped, turn = self.mixture, self.grouped >= 4, self.seen["v"]
        self.seen["v"] += 1
        if low:
            return "Q4_K" if grouped or self.experts >= 4 else "IQ3_S" if mix in ("IQ2_S", "IQ2_M") else "Q2_K"
        kind = self.default
        if mix in ("Q2_K", "Q2_K_S", "IQ3_XXS", "IQ3_XS", "IQ3_S"):
            otherwise = {"Q2_K": "Q3_K", "IQ3_XXS": "IQ3_XXS"}.get(mix, self.default)
            kind = "Q4_K" if grouped else otherwise
        elif mix in ("IQ3_M", "Q3_K_M", "Q3_K_L"):
            kind = {"IQ3_M": "Q4_K", "Q3_K_L": "Q5_K"}.get(mix) or ("Q5_K" if turn < 2 else "Q4_K")
        elif mix in ("IQ4_NL", "IQ4_XS") and grouped:
            kind = "Q5_K"
        elif mix in ("Q4_K_M", "Q5_K_M") and _more(turn, self.values):
            kind = "Q6_K"
        elif mix == "Q4_K_S" and turn < 4:
            kind = "Q5_K"
        if self.seventy and kind in ("Q3_K", "Q4_K"):
            kind = "Q5_K"
        return "Q8_0" if self.experts == 8 else kind

    def _attention_output(self, low: bool) -> str:
        mix = self.mixture
        if low:
            if self.experts == 8:
                return "Q5_K"
            return _first(mix, ((("IQ1_S", "IQ1_M"), "IQ2_XXS"), (("IQ2_S", "IQ2_M"), "IQ3_S")), self.default)
        if self.experts == 8:
            some = ("Q2_K", "IQ3_XS", "IQ3_XXS", "Q3_K_S", "Q3_K_M", "IQ4_NL", "Q4_K_S", "Q4_K_M", "IQ3_S", "IQ3_M",
                    "IQ4_XS")  # fmt: skip
            return "Q5_K" if mix in some else self.default
        return {"Q2_K": "Q3_K", "IQ3_XXS": "IQ3_S", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K", "IQ3_M": "Q4_K"}.get(
            mix, self.default
        )

    def _down(self, name: str, low: bool) -> str:
        mix, layers = self.mixture, len(self.shape.layers)
        at = _index(name) if self.experts > 1 and not low else self.seen["down"]
        self.seen["down"] += 1
        early = at < layers // 8
        if low:
            return ("IQ3_S" if mix in ("IQ2_S", "IQ2_M") else "Q2_K") if early else self.default
        if mix == "Q3_K_M":
            return "Q5_K" if at < layers // 16 else "Q4_K"
        if mix in ("Q4_K_M", "Q5_K_M"):
            return "Q6_K" if _more(at, layers) else self.default
        if mix == "IQ3_M":
            return "Q4_K" if early or (self.experts == 8 and _more(at, layers)) else self.default
        if mix in ("IQ4_NL", "IQ4_XS", "Q4_K_S"):
            return "Q5_K" if early else self.default
        if mix in ("Q4_0", "Q5_0") and self.imatrix and early:
            return "Q4_1" if mix == "Q4_0" else "Q5_1"
        if mix == "Q2_K_S":
            return "Q4_K" if early else self.default
        return {"Q2_K": "Q3_K", "Q3_K_L": "Q5_K"}.get(mix, self.default)


def _more(at: int, layers: int) -> bool:
    """The layers that mixtures give more bits: the first and last eighth, and every third between."""
    return at < layers // 8 or at >= 7 * layers // 8 or (at - layers // 8) % 3 == 2


def _first(mixture: str, rules: Iterable[tuple[tuple[str, ...], str]], otherwise: str) -> str:
    return next((kind for names, kind in rules if mixture in names), otherwise)


def _index(name: str) -> int:
    found = re.match(r"blk\.(\d+)\.", name)
    return int(found[1]) if found else -1
