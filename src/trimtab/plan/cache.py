"""What a context keeps in memory, as llama.cpp allocates it: keys and values, rings for windows, recurrent states.

Source: ggml-org/llama.cpp 0c1e570, `src/llama-kv-cache.cpp`, `llama-kv-cache-iswa.cpp`, `llama-memory-recurrent.cpp`.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from trimtab.errors import ConfigError
from trimtab.plan.architecture import MIB, RECURS, Architecture, Layer

PAD = 256
"""Cells are allocated in steps of this."""
BYTES = {
    "f32": 4.0, "f16": 2.0, "bf16": 2.0, "fp8": 1.0, "q8_0": 34 / 32, "q5_1": 24 / 32, "q5_0": 22 / 32,
    "q4_1": 20 / 32, "q4_0": 18 / 32, "iq4_nl": 18 / 32,
}  # fmt: skip
"""Bytes an element, the scales of its block included (ggml-common.h)."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """How a server is started: cells in all (`-c`), sequences at once (`-np`), tokens a micro-batch (`-ub`)."""

    context: int
    sequences: int = 1
    micro: int = 512
    keys: str = "f16"
    values: str = "f16"
    whole_window: bool = False
    """`--swa-full`: windows get the whole context, so that prefixes can be reused."""
    flash: bool = True
    unified: bool = False
    """`--kv-unified`: one buffer for all sequences in place of one for each."""


def checked(**given: Any) -> Session:
    """A session from a person's values.

    Raises:
        ConfigError: a number that is not positive, a type that is not known, quantized values without flash attention.
    """
    session = Session(**given)
    for name in ("context", "sequences", "micro"):
        if not 0 < getattr(session, name) <= 2**31:
            raise ConfigError(
                f"{name} = {getattr(session, name)} cannot be.", "Give a number from 1 to 2147483648.", param=name
            )
    for kind in (session.keys, session.values):
        if kind not in BYTES:
            raise ConfigError(f"No cache type {kind!r}.", f"Known: {', '.join(BYTES)}.")
    if not session.flash and BYTES[session.values] < 2:
        raise ConfigError("llama.cpp quantizes values with flash attention only.", "Leave --no-flash out.")
    return session


def cells(session: Session) -> int:
    """Cells a layer without a window holds for one stream."""
    if session.unified or session.sequences == 1:
        return _padded(session.context)
    return _padded(_padded(session.context) // session.sequences)


def ring(session: Session, window: int) -> int:
    """Cells a layer with a window holds for one stream: the window, one micro-batch, padded; never above `cells`."""
    whole = cells(session)
    if session.whole_window:
        return whole
    return _padded(min(whole, window * (session.sequences if session.unified else 1) + session.micro))


def keys_values(shape: Architecture, session: Session, layers: Sequence[Layer] | None = None) -> float:
    """MiB of keys and values over all sequences, of `layers` or of all."""
    streams = 1 if session.unified else session.sequences
    widest = max((layer.kv_heads * layer.head_v for layer in shape.layers if layer.caches), default=0)
    found = 0.0
    for layer in shape.layers if layers is None else layers:
        if layer.caches:
            held = ring(session, layer.window) if layer.window else cells(session)
            found += held * streams * _per_cell(shape, layer, session, widest)
    return found / MIB


def states(shape: Architecture, sequences: int, layers: Sequence[Layer] | None = None) -> float:
    """MiB of recurrent states, f32, of `layers` or of all: of convolutions, Mamba 2 and delta rules; they do not grow
    with the context."""
    state, held = shape.state, 0
    for layer in shape.layers if layers is None else layers:
        if layer.mixer == "conv":
            held += shape.hidden * (state.conv - 1)
        elif layer.mixer in RECURS:
            held += (state.conv - 1) * (state.inner + 2 * state.groups * state.size) + state.inner * state.size
    return held * 4 * sequences / MIB


def _per_cell(shape: Architecture, layer: Layer, session: Session, widest: int) -> float:
    """Bytes. Latent attention keeps its ranks alone; without flash attention values are padded to the widest layer."""
    if layer.mixer == "mla":
        return (shape.latent.kv + shape.latent.rope) * BYTES[session.keys]
    values = layer.kv_heads * layer.head_v if session.flash else widest
    return layer.kv_heads * layer.head_k * BYTES[session.keys] + values * BYTES[session.values]


def _padded(count: int) -> int:
    return -(-count // PAD) * PAD
