"""The tensors of a model in GGUF's names and shapes, from its hyper-parameters.

Source of names and shapes: ggml-org/llama.cpp 0c1e570, `src/llama-arch.cpp`, `src/models/`. A file's own header
(`checkpoint`) is surer and is preferred where there is one.
"""

from collections.abc import Iterator
from math import prod

import msgspec

from trimtab.plan import _config
from trimtab.plan.architecture import Architecture, Layer

LOOKED_UP = ("token_embd.weight", "per_layer_token_embd.weight")
"""Tables of which a token reads one row."""


class Tensor(msgspec.Struct, frozen=True):
    """A name, its dimensions (columns first, as in GGUF) and the share of it that one token reads (0 to 1).

    `kind` is the type in the file, where a file was read.
    """

    name: str
    dims: tuple[int, ...]
    read: float = 1.0
    kind: str = ""

    @property
    def count(self) -> int:
        """How many numbers it holds."""
        return prod(self.dims)


def tensors(shape: Architecture) -> tuple[Tensor, ...]:
    """All of them; what the maker counts beyond these is put into one more, `other.weight`, at the default type."""
    found = [Tensor("token_embd.weight", (shape.hidden, shape.vocab), 1.0 if shape.tied else 0.0)]
    if not shape.tied:
        found.append(Tensor("output.weight", (shape.hidden, shape.vocab)))
    found.append(Tensor("output_norm.weight", (shape.hidden,)))
    if shape.per_layer:
        width = shape.per_layer * len(shape.layers)
        found.append(Tensor("per_layer_token_embd.weight", (width, shape.vocab), 0.0))
        found.append(Tensor("per_layer_model_proj.weight", (shape.hidden, width)))
    if shape.family == "gemma3n":
        found += [Tensor(f"altup_{name}.weight", (shape.hidden, shape.hidden, 3)) for name in ("proj", "unembd_proj")]
    for index, layer in enumerate(shape.layers):
        found += (msgspec.structs.replace(t, name=f"blk.{index}.{t.name}") for t in _layer(shape, layer))
    missing = int(shape.params) - sum(tensor.count for tensor in found)
    if missing > 0.0005 * shape.params:
        found.append(Tensor("other.weight", (256, missing // 256)))
    return tuple(found)


def counted(shape: Architecture) -> Architecture:
    """The shape with the parameters that its tensors have, and those that a token uses, where its maker counts none."""
    if shape.params and (shape.active or not shape.experts):
        return shape
    listed = tensors(shape)
    whole = sum(tensor.count for tensor in listed)
    used = sum(tensor.count * (tensor.read if "_exps" in tensor.name else 1.0) for tensor in listed)
    params = shape.params or float(whole)
    return msgspec.structs.replace(shape, params=params, active=params * used / whole)


def error(shape: Architecture) -> float:
    """How far the tensors' sum is from what the maker counts, as a share; 0 where nobody counted."""
    known = sum(tensor.count for tensor in tensors(shape) if tensor.name != "other.weight")
    return abs(known - shape.params) / shape.params if shape.params else 0.0


def _layer(shape: Architecture, layer: Layer) -> Iterator[Tensor]:
    yield Tensor("attn_norm.weight", (shape.hidden,))
    yield Tensor("ffn_norm.weight", (shape.hidden,))
    yield from MIXERS[layer.mixer](shape, layer)
    yield from _per_layer(shape)
    if layer.ffn:
        yield from _dense(shape, layer.ffn)
    if layer.experts:
        yield from _experts(shape, layer)


def _attention(shape: Architecture, layer: Layer) -> Iterator[Tensor]:
    hidden, query = shape.hidden, layer.heads * layer.head_k
    keys, values = layer.kv_heads * layer.head_k, layer.kv_heads * layer.head_v
    yield Tensor("attn_output.weight", (layer.heads * layer.head_v, hidden))
    if shape.family == "phi3":
        yield Tensor("attn_qkv.weight", (hidden, query + keys + values))
        return
    gated = 2 if shape.family == "qwen35" else 1
    yield Tensor("attn_q.weight", (hidden, query * gated))
    if layer.caches or shape.family == "gemma3n":  # whose layers that share keep their projections
        yield Tensor("attn_k.weight", (hidden, keys))
        if layer.values:
            yield Tensor("attn_v.weight", (hidden, values))
    if shape.family in ("qwen2", "gpt-oss"):
        yield Tensor("attn_q.bias", (query,))
        yield Tensor("attn_k.bias", (keys,))
        yield Tensor("attn_v.bias", (values,))
    if shape.family == "gpt-oss":
        yield Tensor("attn_output.bias", (hidden,))


def _latent(shape: Architecture, layer: Layer) -> Iterator[Tensor]:
    hidden, latent = shape.hidden, shape.latent
    plain = layer.head_k - latent.rope
    if latent.q:
        yield Tensor("attn_q_a.weight", (hidden, latent.q))
        yield Tensor("attn_q_b.weight", (latent.q, layer.heads * layer.head_k))
    else:
        yield Tensor("attn_q.weight", (hidden, layer.heads * layer.head_k))
    yield Tensor("attn_kv_a_mqa.weight", (hidden, latent.kv + latent.rope))
    yield Tensor("attn_k_b.weight", (plain, latent.kv, layer.heads))
    yield Tensor("attn_v_b.weight", (latent.kv, layer.head_v, layer.heads))
    yield Tensor("attn_output.weight", (layer.heads * layer.head_v, hidden))


def _mamba2(shape: Architecture, _: Layer) -> Iterator[Tensor]:
    state = shape.state
    mixed = state.inner + 2 * state.groups * state.size
    yield Tensor("ssm_in.weight", (shape.hidden, state.inner + mixed + state.heads))
    yield Tensor("ssm_conv1d.weight", (state.conv, mixed))
    yield Tensor("ssm_out.weight", (state.inner, shape.hidden))


def _delta(shape: Architecture, _: Layer) -> Iterator[Tensor]:
    state = shape.state
    mixed = state.inner + 2 * state.groups * state.size
    yield Tensor("attn_qkv.weight", (shape.hidden, mixed))
    yield Tensor("attn_gate.weight", (shape.hidden, state.inner))
    yield Tensor("ssm_alpha.weight", (shape.hidden, state.heads))
    yield Tensor("ssm_beta.weight", (shape.hidden, state.heads))
    yield Tensor("ssm_conv1d.weight", (state.conv, mixed))
    yield Tensor("ssm_out.weight", (state.inner, shape.hidden))


def _conv(shape: Architecture, _: Layer) -> Iterator[Tensor]:
    yield Tensor("shortconv.in_proj.weight", (shape.hidden, 3 * shape.hidden))
    yield Tensor("shortconv.conv.weight", (shape.state.conv, shape.hidden))
    yield Tensor("shortconv.out_proj.weight", (shape.hidden, shape.hidden))


def _both(shape: Architecture, layer: Layer) -> Iterator[Tensor]:
    yield from _attention(shape, layer)
    yield from _mamba2(shape, layer)


def _none(*_: object) -> Iterator[Tensor]:
    return iter(())


MIXERS = {
    "attention": _attention, "mla": _latent, "mamba2": _mamba2, "delta": _delta, "conv": _conv, "both": _both,
    "none": _none,
}  # fmt: skip
UNGATED = ("nemotron-h", *_config.UNGATED)
"""Families whose feed-forwards have no gate."""


def _per_layer(shape: Architecture) -> Iterator[Tensor]:
    if not shape.per_layer:
        return
    yield Tensor("inp_gate.weight", (shape.hidden, shape.per_layer))
    yield Tensor("proj.weight", (shape.per_layer, shape.hidden))
    if shape.family == "gemma3n":
        yield Tensor("laurel_l.weight", (shape.hidden, 64))
        yield Tensor("laurel_r.weight", (64, shape.hidden))


def _dense(shape: Architecture, width: int) -> Iterator[Tensor]:
    if shape.family == "phi3":
        yield Tensor("ffn_up.weight", (shape.hidden, 2 * width))
    else:
        if shape.family not in UNGATED:
            yield Tensor("ffn_gate.weight", (shape.hidden, width))
        yield Tensor("ffn_up.weight", (shape.hidden, width))
    yield Tensor("ffn_down.weight", (width, shape.hidden))


def _experts(shape: Architecture, layer: Layer) -> Iterator[Tensor]:
    hidden, width, experts = shape.hidden, layer.expert_ffn, layer.experts
    read = layer.used / experts
    yield Tensor("ffn_gate_inp.weight", (hidden, experts))
    if shape.family == "gemma4":
        yield Tensor("ffn_gate_up_exps.weight", (hidden, 2 * width, experts), read)
    else:
        if shape.family not in UNGATED:
            yield Tensor("ffn_gate_exps.weight", (hidden, width, experts), read)
        yield Tensor("ffn_up_exps.weight", (hidden, width, experts), read)
    yield Tensor("ffn_down_exps.weight", (width, hidden, experts), read)
    if shape.family == "gpt-oss":
        yield Tensor("ffn_gate_exps.bias", (width, experts), read)
        yield Tensor("ffn_up_exps.bias", (width, experts), read)
        yield Tensor("ffn_down_exps.bias", (hidden, experts), read)
    if layer.shared_ffn:
        if shape.family not in UNGATED:
            yield Tensor("ffn_gate_shexp.weight", (hidden, layer.shared_ffn))
        yield Tensor("ffn_up_shexp.weight", (hidden, layer.shared_ffn))
        yield Tensor("ffn_down_shexp.weight", (layer.shared_ffn, hidden))
