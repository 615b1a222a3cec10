"""What a model needs in memory, part by part: weights, cache, states, buffers, and what the runtime itself takes."""

import re
from collections.abc import Iterable

import msgspec

from trimtab.errors import ConfigError
from trimtab.plan import cache, compute, quantize
from trimtab.plan.architecture import MIB, Architecture, Layer
from trimtab.plan.cache import Session
from trimtab.plan.figure import Figure, exact, total
from trimtab.plan.tensors import LOOKED_UP, Tensor, error, tensors

RUNTIME = Figure(150.0, 400.0, 900.0, "MiB", "extrapolated", "context of the GPU driver and its libraries")
CLOSE = 0.003
"""Weights whose tensors sum to what the maker counts, to this share, are taken as exact."""
ENGINE_BITS = {
    "bf16": (16.0, 16.0), "fp16": (16.0, 16.0), "fp8": (8.0, 16.0), "w8a8": (8.0, 16.0), "int8": (8.0, 16.0),
    "awq": (4.156, 16.0), "gptq": (4.156, 16.0), "w4a16": (4.156, 16.0), "nvfp4": (4.5, 16.0), "fp4": (4.5, 16.0),
    "mxfp4": (4.25, 16.0),
}  # fmt: skip
"""Bits of linear layers (scales of groups of 128, 16 or 32 included) and of embeddings, as vLLM loads checkpoints."""
ALIASES = {
    "MXFP4": "MXFP4_MOE", "FP16": "F16", "Q4": "Q4_K_M", "4BIT": "Q4_0", "Q8": "Q8_0", "8BIT": "Q8_0", "Q4_K": "Q4_K_M",
    "Q5_K": "Q5_K_M", "Q3_K": "Q3_K_M", "Q8_K": "Q8_0", "FP32": "F32", "Q4_K_XL": "Q4_K_M", "Q5_K_XL": "Q5_K_M",
    "Q6_K_XL": "Q6_K", "Q8_K_XL": "Q8_0", "Q3_K_XL": "Q3_K_L", "Q2_K_XL": "Q2_K", "Q2_K_L": "Q2_K", "Q4_K_L": "Q4_K_M",
    "Q5_K_L": "Q5_K_M", "Q6_K_L": "Q6_K",
}  # fmt: skip
"""Names of files that llama-quantize does not make, and the mixture that is nearest in bytes."""


class Weights(msgspec.Struct, frozen=True):
    """MiB on disk and in memory, and MiB that one token of one sequence reads."""

    held: Figure
    read: float


def weights(shape: Architecture, precision: str, found: Iterable[Tensor] = ()) -> Weights:
    """Bytes of a GGUF mixture, or of a checkpoint as vLLM loads it; `found`: a file's own tensors.

    Raises:
        ConfigError: no such precision.
    """
    listed = tuple(found) or tensors(shape)
    meant = named(precision)
    if meant in ENGINE_BITS:
        sized = [(tensor, _engine(tensor, meant)) for tensor in listed]
    else:
        sized = [(tensor, quantize.size(tensor, kind)) for tensor, kind in quantize.types(shape, listed, meant)]
    held = sum(size for _, size in sized) / MIB
    read = sum(size * tensor.read for tensor, size in sized) / MIB
    if any(tensor.kind for tensor in listed):
        return Weights(exact(held, "MiB", "the file's own tensors"), read)
    off = error(shape)
    if off <= CLOSE:
        return Weights(exact(held, "MiB", f"{precision}, tensor by tensor"), read)
    why = f"{off:.1%} of the parameters are not explained by the known tensors"
    return Weights(Figure(held * (1 - off), held, held * (1 + off), "MiB", "extrapolated", why), read)


def named(precision: str) -> str:
    """What a name of a precision means: an engine's in lower case, else a GGUF mixture in upper case."""
    if precision in ENGINE_BITS:
        return precision
    word = precision.upper().removeprefix("UD-")
    if word in quantize.MIXTURES or word in ALIASES:
        return ALIASES.get(word, word)
    engine = re.split(r"[-_ ]", precision.lower())[0]
    return engine if engine in ENGINE_BITS else word


def stack(shape: Architecture, precision: str, session: Session, *, found: Iterable[Tensor] = (),
          accelerated: bool = True) -> dict[str, Figure]:  # fmt: skip
    """The parts that llama.cpp allocates, in MiB; `total` is their sum."""
    parts = {"weights": weights(shape, precision, found).held}
    parts["cache"] = _of_shape(shape, cache.keys_values(shape, session), "keys and values")
    if shape.recurrent:
        parts["states"] = _of_shape(shape, cache.states(shape, session.sequences), "recurrent states")
    parts["compute"] = compute.buffer(shape, session)
    parts["logits"] = exact(compute.logits(shape, session), "MiB")
    if accelerated:
        parts["runtime"] = RUNTIME
    parts["total"] = total(parts.values(), "MiB")
    return parts


def paged(shape: Architecture, precision: str, *, device: float, gpus: int = 1, share: float = 0.9,
          step: int = 8192, cached: str = "bf16") -> dict[str, Figure]:  # fmt: skip
    """What vLLM allocates on each of `gpus` devices of `device` MiB: weights, activations of `step` tokens (its largest
    batch), and the rest of its `share` as a pool for the cache; `tokens` is how many tokens fit into that pool.

    Raises:
        ConfigError: nothing is left for the cache.
    """
    held = weights(shape, precision).held.times(1 / gpus)
    wide = max(max(layer.ffn, layer.used * layer.expert_ffn) for layer in shape.layers)
    active = step * (2 * wide + 4 * shape.hidden) * 2 / gpus / MIB
    activations = Figure(active * 0.8, active * 1.25, active * 2.0, "MiB", "calibrated", f"{step} tokens a step")
    fixed = Figure(200.0, 360.0, 700.0, "MiB", "calibrated", "driver, communication")
    pool = device * share - held.central - activations.central - fixed.central
    if pool <= 0:
        raise ConfigError(
            f"{shape.name} at {precision} leaves no room for a cache on {gpus} x {device / 1024:.0f} GiB.",
            "Take more or larger devices, or fewer bits.",
        )
    split = min(gpus, max(layer.kv_heads for layer in shape.layers)) if not _latent(shape) else 1
    token = _token(shape, cached) / split
    spread = (activations.high - activations.low) + (fixed.high - fixed.low)
    free = Figure(max(0.0, pool - spread / 2), pool, pool + spread / 2, "MiB", "calibrated", "what is left")
    return {
        "weights": held, "activations": activations, "runtime": fixed, "cache": free,
        "tokens": free.times(1 / token, "tokens"),
    }  # fmt: skip


def per_token(shape: Architecture, session: Session, layers: Iterable[Layer] | None = None) -> float:
    """MiB that one more token of context adds to `layers`, or to all, where no window is full yet."""
    bits = cache.BYTES
    return sum(
        (shape.latent.kv + shape.latent.rope) * bits[session.keys] if layer.mixer == "mla"
        else layer.kv_heads * (layer.head_k * bits[session.keys] + layer.head_v * bits[session.values])
        for layer in (shape.layers if layers is None else layers) if layer.caches
    ) / MIB  # fmt: skip


def _token(shape: Architecture, kind: str) -> float:
    return per_token(shape, Session(context=1, keys=kind, values=kind))


def _latent(shape: Architecture) -> bool:
    return any(layer.mixer == "mla" for layer in shape.layers)


def _of_shape(shape: Architecture, value: float, why: str) -> Figure:
    if shape.known:
        return exact(value, "MiB", why)
    return Figure(value * 0.5, value, value * 2, "MiB", "unknown", f"{why}; the layers are a guess")


def _engine(tensor: Tensor, precision: str) -> float:
    linear, other = ENGINE_BITS[precision]
    experts = len(tensor.dims) > 2
    whole = tensor.name in (*LOOKED_UP, "output.weight") or len(tensor.dims) < 2 or "_norm" in tensor.name
    if precision == "mxfp4" and not experts:
        whole = True
    return tensor.count * (other if whole else linear) / 8
