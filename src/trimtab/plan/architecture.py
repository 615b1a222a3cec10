"""The shape of a model: what its layers are, from which memory, bytes read and operations follow."""

from typing import Literal

import msgspec

Mixer = Literal["attention", "mla", "mamba2", "delta", "conv", "both", "none"]
"""`both`: attention beside a Mamba 2 (Falcon H1); `none`: a layer that is a feed-forward alone (Nemotron H)."""
ATTENDS: tuple[Mixer, ...] = ("attention", "mla", "both")
RECURS: tuple[Mixer, ...] = ("mamba2", "delta", "conv", "both")
PATTERN: dict[str, Mixer] = {"M": "mamba2", "*": "attention", "-": "none", "E": "none"}
"""Letters by which Nemotron H lists its layers; `E` is a feed-forward of experts."""
MIB = 2**20


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One layer: how tokens are mixed, and the width of what follows. `window` 0 sees all of the context."""

    mixer: Mixer = "attention"
    heads: int = 0
    kv_heads: int = 0
    head_k: int = 0
    head_v: int = 0
    window: int = 0
    caches: bool = True
    """False where the layer reads another one's cache (Gemma 3n and 4, Apple's on-device model)."""
    values: bool = True
    """False where keys serve as values and there is no projection of values (Gemma 4's global layers)."""
    ffn: int = 0
    experts: int = 0
    used: int = 0
    expert_ffn: int = 0
    shared_ffn: int = 0


class Latent(msgspec.Struct, frozen=True):
    """Multi-head latent attention: the ranks of the compressed keys/values and queries, and the rotary part."""

    kv: int = 512
    q: int = 0
    rope: int = 64


class State(msgspec.Struct, frozen=True):
    """What a recurrent layer keeps: `inner` channels x `size`, and `conv` - 1 columns of its convolution."""

    inner: int = 0
    size: int = 0
    groups: int = 1
    conv: int = 4
    heads: int = 0


class Architecture(msgspec.Struct, frozen=True, kw_only=True):
    """A model's shape. `params` (0: not known) is what its maker counts; `known` is False for a guess at its layers."""

    name: str
    family: str
    hidden: int
    vocab: int
    tied: bool
    layers: tuple[Layer, ...]
    context: int = 0
    params: float = 0.0
    active: float = 0.0
    latent: Latent = Latent()
    state: State = State()
    per_layer: int = 0
    """Width of the per-layer embeddings (Gemma 3n, Gemma 4 E models); they are looked up, not multiplied."""
    known: bool = True

    @property
    def experts(self) -> int:
        """The most experts of any layer; 0 for a dense model."""
        return max(layer.experts for layer in self.layers)

    @property
    def recurrent(self) -> int:
        """How many layers keep a state in place of a cache."""
        return sum(layer.mixer in RECURS for layer in self.layers)

    @property
    def depth(self) -> int:
        """Layers as speed counts them: a feed-forward alone belongs to the one before it."""
        return sum(layer.mixer != "none" for layer in self.layers)
