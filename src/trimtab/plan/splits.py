"""How llama.cpp divides a model over several devices, and what each of them holds.

By layers (`--split-mode layer`): whole layers with their cache, contiguous, and the output with the last. By rows
(`row`, tensor parallel): matrices of a layer are cut evenly over all devices; vectors, experts and the cache stay with
the layer's. Token embeddings are looked up on the host. Source: ggml-org/llama.cpp 0c1e570, `src/llama-model.cpp`
(`load_tensors`), `ggml/src/ggml-cuda/ggml-cuda.cu` (split buffers take no tensor of three dimensions).
"""

import re
from bisect import bisect_right
from collections.abc import Iterable

from trimtab.errors import ConfigError
from trimtab.plan import cache, compute, memory, quantize
from trimtab.plan.architecture import MIB, Architecture, Layer
from trimtab.plan.cache import Session
from trimtab.plan.figure import Figure, exact, total
from trimtab.plan.tensors import LOOKED_UP, Tensor, tensors

MODES = ("layer", "row")
BLOCK = re.compile(r"blk\.(\d+)\.")


def stacks(
    shape: Architecture, precision: str, session: Session, gpus: int, mode: str = "layer", found: Iterable[Tensor] = ()
) -> tuple[dict[str, Figure], ...]:  # fmt: skip
    """The parts on each of `gpus` equal devices, in MiB, with their `total`; by layers or by rows.

    Raises:
        ConfigError: no such mode, or more devices than layers.
    """
    if mode not in MODES:
        raise ConfigError(f"No split {mode!r}.", f"Known: {', '.join(MODES)}.", param="split")
    if gpus > len(shape.layers) + 1:
        raise ConfigError(f"{shape.name} has {len(shape.layers)} layers, too few for {gpus} devices.", "Take fewer.")
    held = _weights(shape, precision, gpus, mode, tuple(found))
    buffer = compute.buffer(shape, session)
    why = "each device computes its part"
    shared = Figure(buffer.low * 0.5, buffer.central, buffer.high, "MiB", "extrapolated", why)
    made = []
    for device in range(gpus):
        mine = [layer for index, layer in enumerate(shape.layers) if owner(index, len(shape.layers), gpus) == device]
        parts = {"weights": held[device], "cache": _cache(shape, mine, session), "compute": shared}
        if shape.recurrent:
            parts["states"] = exact(_states(shape, mine, session), "MiB", "recurrent states of its layers")
        parts["runtime"] = memory.RUNTIME
        made.append(parts | {"total": total(parts.values(), "MiB")})
    return tuple(made)


def owner(layer: int, layers: int, gpus: int) -> int:
    """The device of a layer (of `layers`, the output, where `layer` is as many): devices of equal free memory."""
    return min(gpus - 1, bisect_right([(n + 1) / gpus for n in range(gpus)], layer / (layers + 1)))


def _weights(
    shape: Architecture, precision: str, gpus: int, mode: str, found: tuple[Tensor, ...]
) -> list[Figure]:  # fmt: skip
    listed = found or tensors(shape)
    held = [0.0] * gpus
    for tensor, kind in quantize.types(shape, listed, memory.named(precision)):
        size = quantize.size(tensor, kind) / MIB
        block = BLOCK.match(tensor.name)
        index = int(block[1]) if block else len(shape.layers)
        if tensor.name in LOOKED_UP and not (shape.tied and tensor.name == LOOKED_UP[0]):
            continue  # on the host; a tied table is multiplied too, by the device of the output
        if mode == "row" and len(tensor.dims) == 2:
            held = [one + size / gpus for one in held]
        else:
            held[owner(index, len(shape.layers), gpus)] += size
    whole = memory.weights(shape, precision, listed).held
    return [whole.times(one / whole.central) for one in held]


def _cache(shape: Architecture, mine: list[Layer], session: Session) -> Figure:
    return exact(cache.keys_values(shape, session, mine), "MiB", f"keys and values of {len(mine)} layers")


def _states(shape: Architecture, mine: list[Layer], session: Session) -> float:
    return cache.states(shape, session.sequences, mine)
