"""The shape that a config.json of transformers tells."""

from typing import Any

from trimtab.errors import ConfigError
from trimtab.plan._config import UNGATED, at, usual
from trimtab.plan.architecture import ATTENDS, PATTERN, Architecture, Latent, Layer, Mixer, State

FAMILIES = (
    ("gemma3n", "gemma3n"), ("gemma4", "gemma4"), ("gemma", "gemma"), ("phi3", "phi3"), ("phi4", "phi3"),
    ("gpt_oss", "gpt-oss"), ("deepseek", "deepseek2"), ("kimi", "deepseek2"), ("qwen3_5", "qwen35"),
    ("qwen3_next", "qwen35"), ("qwen2", "qwen2"), ("qwen3", "qwen3"), ("granitemoehybrid", "granite-h"),
    ("lfm2", "lfm2"), ("llama4", "llama4"), ("nemotron_h", "nemotron-h"), ("falcon_h1", "falcon-h1"),
)  # fmt: skip
PLAIN = ("llama", "mistral", "mistral3", "mixtral", "ministral", "granite", "granitemoe", "smollm3", "olmo", "olmo2",
         "olmo3", "olmoe", "stablelm", "internlm2", "internlm3", "cohere", "cohere2", "glm", "glm4", "glm4_moe",
         "glm4_moe_lite", "exaone", "exaone4", "minimax_m2", "bamba", "hunyuan", "ernie4_5", "ernie4_5_moe", "seed_oss",
         "baichuan", "yi", "phimoe", "mimo_v2_flash", "nemotron-nas", "dbrx")  # fmt: skip
GUESSED = ("kimi_linear",)
"""Of a family that is known, and yet of another build."""
SHARED = ("shared_expert_intermediate_size", "shared_intermediate_size", "moe_shared_expert_intermediate_size")
MIXERS: dict[str, Mixer] = {"linear_attention": "delta", "mamba": "mamba2", "mamba2": "mamba2", "conv": "conv",
                            "mlp": "none", "moe": "none"}  # fmt: skip
WHOLLY: dict[str, Mixer] = {"mamba": "mamba2", "falcon_mamba": "mamba2", "mamba2": "mamba2"}
"""Families all of whose layers keep a state, with no feed-forward beside it."""
RECURRENT: tuple[tuple[str, Mixer], ...] = (("full_attn_idxs", "conv"), ("attn_layer_indices", "mamba2"))
"""Lists of the layers that attend, and what the others are (LFM2, Bamba)."""
PATTERNS = {"gemma2": 2, "gemma3": 6, "gemma3_text": 6, "cohere2": 4, "llama4": 4, "llama4_text": 4}
"""Every n-th layer sees all of the context, where the config lists no `layer_types`."""


def shape(config: dict[str, Any], name: str) -> Architecture:
    """The shape.

    Raises:
        ConfigError: a field that every model has is missing, or no number.
    """
    kind = str(config.get("model_type", ""))
    try:
        found = usual(config)
        kind = str(found.get("model_type", ""))
        return _shape(found, kind, name or kind)
    except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError) as error:
        raise ConfigError(
            f"The config of {name or kind!r} lacks or garbles {error}.", "Is it a language model?"
        ) from error


def _shape(found: dict[str, Any], kind: str, name: str) -> Architecture:
    family = next((family for start, family in FAMILIES if kind.startswith(start)), "llama")
    family = kind if kind in UNGATED else family
    count, hidden = int(found["num_hidden_layers"]), int(found["hidden_size"])
    if not (0 < count <= 10_000 and hidden > 0):
        raise ConfigError(f"{name} has {count} layers of width {hidden}.", "Both must be positive.")
    known = kind not in GUESSED and (kind.startswith(tuple(start for start, _ in FAMILIES)) or kind in PLAIN + UNGATED)
    return Architecture(
        name=name, family=family, hidden=hidden, vocab=int(found["vocab_size"]),
        tied=bool(found["tie_word_embeddings"]),
        layers=tuple(_layer(found, kind, index, count) for index in range(count)),
        context=int(found.get("max_position_embeddings") or 0), state=_state(found),
        latent=Latent(int(found.get("kv_lora_rank") or 512), int(found.get("q_lora_rank") or 0),
                      int(found.get("qk_rope_head_dim") or 64)),
        per_layer=int(found.get("hidden_size_per_layer_input") or 0), known=known,
    )  # fmt: skip


def _layer(found: dict[str, Any], kind: str, index: int, count: int) -> Layer:
    if kind in WHOLLY:
        return Layer(mixer=WHOLLY[kind], caches=False)
    if isinstance(blocks := found.get("block_configs"), list):
        return _block(found, blocks[index])
    mixer, window = _mixer(found, index), _window(found, kind, index)
    heads = at(found["num_attention_heads"], index)
    kv = at(found.get("num_key_value_heads"), index) or heads
    width = int(found.get("head_dim") or int(found["hidden_size"]) // heads)
    head_v = int(found.get("v_head_dim") or width)
    values = True
    if window:
        heads, kv = int(found.get("swa_num_attention_heads") or heads), int(found.get("swa_num_key_value_heads") or kv)
        width, head_v = int(found.get("swa_head_dim") or width), int(found.get("swa_v_head_dim") or head_v)
    elif found.get("global_head_dim"):
        width = head_v = int(found["global_head_dim"])
        if found.get("attention_k_eq_v"):
            kv, values = int(found.get("num_global_key_value_heads") or kv), False
    head_k = width
    if mixer == "mla":
        head_k = int(found.get("qk_nope_head_dim") or 128) + int(found.get("qk_rope_head_dim") or 64)
        head_v = int(found.get("v_head_dim") or 128)
    shared = int(found.get("num_kv_shared_layers") or 0)
    caches = mixer in ATTENDS and index < count - shared
    ffn, experts, used, wide, also = _ffn(found, index, caches)
    if not ffn and not (experts and wide) and not found.get("hybrid_override_pattern"):
        raise KeyError("intermediate_size")
    return Layer(
        mixer=mixer, heads=heads, kv_heads=kv, head_k=head_k, head_v=head_v, window=window, caches=caches,
        values=values, ffn=ffn, experts=experts, used=used, expert_ffn=wide, shared_ffn=also,
    )  # fmt: skip


def _block(found: dict[str, Any], block: dict[str, Any]) -> Layer:
    """A layer of a model that a search has thinned out: DeciLM, Nemotron Super and Ultra."""
    attention, ffn, hidden = block["attention"], block["ffn"], int(found["hidden_size"])
    heads, wide = int(found["num_attention_heads"]), 0
    if not ffn.get("no_op"):
        wide = -(-int(2 * float(ffn["ffn_mult"]) * hidden / 3) // 256) * 256
    if attention.get("no_op") or attention.get("replace_with_linear"):
        return Layer(mixer="none", caches=False, ffn=wide)
    width = int(found.get("head_dim") or hidden // heads)
    kv = heads // int(attention["n_heads_in_group"])
    return Layer(heads=heads, kv_heads=kv, head_k=width, head_v=width, ffn=wide)


def _ffn(found: dict[str, Any], index: int, caches: bool) -> tuple[int, int, int, int, int]:
    letter = str(found.get("hybrid_override_pattern") or "")[index : index + 1]
    if letter in ("M", "*"):
        return 0, 0, 0, 0, 0
    dense = at(found.get("intermediate_size"), index)
    if found.get("block_auto_adjust_ff_dim"):
        least = int(found.get("block_multiple_of") or 256)
        dense = -(-int(2 * dense / 3) // least) * least
    if found.get("use_double_wide_mlp") and not caches:
        dense *= 2
    experts, routed = at(found.get("num_experts"), index), dense
    dense = int(found.get("intermediate_size_mlp") or dense)
    if not experts or letter == "-" or not _routes(found, index):
        return dense, 0, 0, 0, 0
    used = at(found.get("num_experts_per_tok"), index) or 1
    wide = at(found.get("moe_intermediate_size") or found.get("expert_intermediate_size"), index) or routed
    also = next((at(found[key], index) for key in SHARED if found.get(key)), 0)
    also = also or wide * at(found.get("n_shared_experts"), index)
    if "interleave_moe_layer_step" in found:  # Llama 4: one expert more sees every token
        also = wide
    beside = dense if found.get("enable_moe_block") else 0
    return beside, experts, used, wide, also


def _routes(found: dict[str, Any], index: int) -> bool:
    """Whether a layer's feed-forward is of experts, in a model that has some."""
    if isinstance(listed := found.get("moe_layer_freq"), list):
        return bool(listed[index])
    if index < int(found.get("first_k_dense_replace") or 0) or index in (found.get("mlp_only_layers") or ()):
        return False
    last = found.get("moe_layer_end_index")
    if last is not None and 0 <= int(last) < index:
        return False
    every = int(found.get("expert_layer_period") or 1)
    if index % every != int(found.get("expert_layer_offset") or 0) % every:
        return False
    steps = (found.get(key) for key in ("interleave_moe_layer_step", "decoder_sparse_step", "moe_layer_interval"))
    return all((index + 1) % int(step) == 0 for step in steps if step)


def _mixer(found: dict[str, Any], index: int) -> Mixer:
    full: Mixer = "mla" if found.get("kv_lora_rank") else "attention"
    if letters := found.get("hybrid_override_pattern"):
        return PATTERN[str(letters)[index]]
    kinds = found.get("layer_types")
    if isinstance(kinds, list) and index < len(kinds):
        return MIXERS.get(str(kinds[index]), full)
    if "mamba_d_ssm" in found:
        return "both"
    if (kda := found.get("linear_attn_config")) and isinstance(kda, dict):
        return "delta" if index + 1 in kda.get("kda_layers", ()) else full
    if isinstance(kinds := found.get("attn_type_list"), list):  # MiniMax 01: 0 is lightning attention
        return full if kinds[index] else "delta"
    for key, other in RECURRENT:
        if (listed := found.get(key)) is not None:
            return full if index in listed else other
    if every := int(found.get("full_attention_interval") or 0):
        return full if index % every == every - 1 else "delta"
    if every := int(found.get("attn_layer_period") or 0):
        return full if index % every == int(found.get("attn_layer_offset") or 0) else "mamba2"
    return full


def _window(found: dict[str, Any], kind: str, index: int) -> int:
    window, kinds = found.get("sliding_window"), found.get("layer_types")
    if kind.startswith("llama4"):
        window = found.get("attention_chunk_size")
    if not window or found.get("use_sliding_window") is False:
        return 0
    if isinstance(kinds, list) and index < len(kinds):
        return int(window) if str(kinds[index]) in ("sliding_attention", "chunked_attention") else 0
    if isinstance(near := found.get("hybrid_layer_pattern"), list):
        return int(window) if near[index] else 0
    pattern = found.get("sliding_window_pattern")
    if isinstance(pattern, str):  # EXAONE 4: `LLLG`
        return int(window) if pattern and pattern[index % len(pattern)] == "L" else 0
    every = int(pattern or PATTERNS.get(kind, 0))
    return int(window) if every and index % every < every - 1 else 0


def _state(found: dict[str, Any]) -> State:
    kind = str(found.get("model_type", ""))
    if kind in WHOLLY and "num_heads" in found:
        heads, width = int(found["num_heads"]), int(found["head_dim"])
        return State(heads * width, int(found["state_size"]), int(found.get("n_groups") or 1),
                     int(found.get("conv_kernel") or 4), heads)  # fmt: skip
    if kind in WHOLLY:  # the first Mamba: no heads, no groups
        inner = int(found.get("intermediate_size") or int(found.get("expand") or 2) * int(found["hidden_size"]))
        return State(inner, int(found["state_size"]), 0, int(found.get("conv_kernel") or 4))
    if isinstance(found.get("attn_type_list"), list):
        heads, width = int(found["num_attention_heads"]), int(found["head_dim"])
        return State(heads * width, width, heads, 1, heads)
    if "linear_num_value_heads" in found:
        heads, width = int(found["linear_num_value_heads"]), int(found["linear_value_head_dim"])
        return State(heads * width, int(found["linear_key_head_dim"]), int(found["linear_num_key_heads"]),
                     int(found.get("linear_conv_kernel_dim") or 4), heads)  # fmt: skip
    if isinstance(kda := found.get("linear_attn_config"), dict):
        heads, width = int(kda["num_heads"]), int(kda["head_dim"])
        return State(heads * width, width, heads, int(kda.get("short_conv_kernel_size") or 4), heads)
    if "mamba_n_heads" in found:
        heads, width = int(found["mamba_n_heads"]), found.get("mamba_d_head") or "auto"
        inner = int(found.get("mamba_expand") or 2) * int(found["hidden_size"]) if width == "auto" else heads * width
        return State(int(inner), int(found["mamba_d_state"]), int(found.get("mamba_n_groups") or 1),
                     int(found.get("mamba_d_conv") or 4), heads)  # fmt: skip
    if "mamba_num_heads" in found:
        heads, width = int(found["mamba_num_heads"]), int(found["mamba_head_dim"])
        return State(heads * width, int(found["ssm_state_size"]), int(found.get("n_groups") or 1),
                     int(found.get("conv_kernel") or 4), heads)  # fmt: skip
    if "mamba_d_state" in found:  # the first Mamba (Jamba, Zamba): no heads, no groups
        inner = int(found.get("mamba_expand") or 2) * int(found["hidden_size"])
        return State(inner, int(found["mamba_d_state"]), 0, int(found.get("mamba_d_conv") or 4))
    return State(conv=int(found.get("conv_L_cache") or 4))
