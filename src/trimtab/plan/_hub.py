"""The shape that a config.json of transformers tells."""

from typing import Any

from trimtab.errors import ConfigError
from trimtab.plan.architecture import ATTENDS, PATTERN, Architecture, Latent, Layer, Mixer, State

FAMILIES = (
    ("gemma3n", "gemma3n"), ("gemma4", "gemma4"), ("gemma", "gemma"), ("phi3", "phi3"), ("phi4", "phi3"),
    ("gpt_oss", "gpt-oss"), ("deepseek", "deepseek2"), ("kimi", "deepseek2"), ("qwen3_5", "qwen35"),
    ("qwen3_next", "qwen35"), ("qwen2", "qwen2"), ("qwen3", "qwen3"), ("granitemoehybrid", "granite-h"),
    ("lfm2", "lfm2"), ("llama4", "llama4"), ("nemotron_h", "nemotron-h"), ("falcon_h1", "falcon-h1"),
)  # fmt: skip
PLAIN = ("llama", "mistral", "mixtral", "ministral", "granite", "granitemoe", "smollm3", "olmo", "olmo2", "olmo3",
         "starcoder2", "stablelm", "internlm2", "internlm3", "cohere", "cohere2", "glm", "glm4", "glm4_moe", "exaone",
         "exaone4", "minimax_m2", "bamba", "hunyuan", "ernie4_5", "ernie4_5_moe", "seed_oss", "baichuan", "yi",
         "nemotron")  # fmt: skip
GUESSED = ("kimi_linear",)
"""Of a family that is known, and yet of another build."""
SHARED = ("shared_expert_intermediate_size", "shared_intermediate_size", "moe_shared_expert_intermediate_size")
MIXERS: dict[str, Mixer] = {"linear_attention": "delta", "mamba": "mamba2", "mamba2": "mamba2", "conv": "conv",
                            "mlp": "none", "moe": "none"}  # fmt: skip
RECURRENT: tuple[tuple[str, Mixer], ...] = (("full_attn_idxs", "conv"), ("attn_layer_indices", "mamba2"))
"""Lists of the layers that attend, and what the others are (LFM2, Bamba)."""
PATTERNS = {"gemma2": 2, "gemma3": 6, "gemma3_text": 6, "cohere2": 4, "llama4": 4, "llama4_text": 4}
"""Every n-th layer sees all of the context, where the config lists no `layer_types`."""


def shape(config: dict[str, Any], name: str) -> Architecture:
    """The shape.

    Raises:
        ConfigError: a field that every model has is missing, or no number.
    """
    text = config.get("text_config") if isinstance(config.get("text_config"), dict) else None
    found = {**config, **(text or {})}
    kind = str(found.get("model_type", ""))
    try:
        return _shape(found, kind, name or kind)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ConfigError(
            f"The config of {name or kind!r} lacks or garbles {error}.", "Is it a language model?"
        ) from error


def _shape(found: dict[str, Any], kind: str, name: str) -> Architecture:
    family = next((family for start, family in FAMILIES if kind.startswith(start)), "llama")
    count, hidden = int(found["num_hidden_layers"]), int(found["hidden_size"])
    if not (0 < count <= 10_000 and hidden > 0):
        raise ConfigError(f"{name} has {count} layers of width {hidden}.", "Both must be positive.")
    known = kind not in GUESSED and (kind.startswith(tuple(start for start, _ in FAMILIES)) or kind in PLAIN)
    return Architecture(
        name=name, family=family, hidden=hidden, vocab=int(found["vocab_size"]),
        tied=bool(found.get("tie_word_embeddings", family in ("gemma", "gemma3n", "gemma4"))),
        layers=tuple(_layer(found, kind, index, count) for index in range(count)),
        context=int(found.get("max_position_embeddings") or 0), state=_state(found),
        latent=Latent(int(found.get("kv_lora_rank") or 512), int(found.get("q_lora_rank") or 0),
                      int(found.get("qk_rope_head_dim") or 64)),
        per_layer=int(found.get("hidden_size_per_layer_input") or 0), known=known,
    )  # fmt: skip


def _layer(found: dict[str, Any], kind: str, index: int, count: int) -> Layer:
    mixer, window = _mixer(found, index), _window(found, kind, index)
    heads = int(found["num_attention_heads"])
    kv = int(found.get("num_key_value_heads") or heads)
    width = int(found.get("head_dim") or int(found["hidden_size"]) // heads)
    values = True
    if not window and found.get("global_head_dim"):
        width = int(found["global_head_dim"])
        if found.get("attention_k_eq_v"):
            kv, values = int(found.get("num_global_key_value_heads") or kv), False
    head_k = head_v = width
    if mixer == "mla":
        head_k = int(found.get("qk_nope_head_dim") or 128) + int(found.get("qk_rope_head_dim") or 64)
        head_v = int(found.get("v_head_dim") or 128)
    shared = int(found.get("num_kv_shared_layers") or 0)
    caches = mixer in ATTENDS and index < count - shared
    ffn, experts, used, wide, also = _ffn(found, index, caches)
    return Layer(
        mixer=mixer, heads=heads, kv_heads=kv, head_k=head_k, head_v=head_v, window=window, caches=caches,
        values=values, ffn=ffn, experts=experts, used=used, expert_ffn=wide, shared_ffn=also,
    )  # fmt: skip


def _ffn(found: dict[str, Any], index: int, caches: bool) -> tuple[int, int, int, int, int]:
    letter = str(found.get("hybrid_override_pattern") or "")[index : index + 1]
    if letter in ("M", "*"):
        return 0, 0, 0, 0, 0
    stated = found.get("intermediate_size") or found.get("block_ff_dim") or 0
    dense = int(stated[index] if isinstance(stated, list) else stated)
    if found.get("block_auto_adjust_ff_dim"):
        least = int(found.get("block_multiple_of") or 256)
        dense = -(-int(2 * dense / 3) // least) * least
    if found.get("use_double_wide_mlp") and not caches:
        dense *= 2
    experts = int(found.get("n_routed_experts") or found.get("num_experts") or found.get("num_local_experts") or 0)
    every = int(found.get("expert_layer_period") or 1)
    plain = index < int(found.get("first_k_dense_replace") or found.get("num_dense_layers") or 0) or letter == "-"
    if not experts or plain or index % every != int(found.get("expert_layer_offset") or 0) % every:
        return dense, 0, 0, 0, 0
    used = int(
        found.get("num_experts_per_tok") or found.get("num_experts_per_token") or found.get("top_k_experts") or 1
    )
    wide = int(found.get("moe_intermediate_size") or found.get("expert_intermediate_size") or dense)
    also = next((int(found[key]) for key in SHARED if found.get(key)), 0)
    also = also or wide * int(found.get("n_shared_experts") or found.get("num_shared_experts") or 0)
    beside = dense if found.get("enable_moe_block") else 0
    return beside, experts, used, wide, also


def _mixer(found: dict[str, Any], index: int) -> Mixer:
    full: Mixer = "mla" if found.get("kv_lora_rank") else "attention"
    if letters := found.get("hybrid_override_pattern"):
        return PATTERN[str(letters)[index]]
    kinds = found.get("layer_types") or found.get("layers_block_type")
    if isinstance(kinds, list) and index < len(kinds):
        return MIXERS.get(str(kinds[index]), full)
    if "mamba_d_ssm" in found:
        return "both"
    if (kda := found.get("linear_attn_config")) and isinstance(kda, dict):
        return "delta" if index + 1 in kda.get("kda_layers", ()) else full
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
    every = int(found.get("sliding_window_pattern") or PATTERNS.get(kind, 0))
    return int(window) if every and index % every < every - 1 else 0


def _state(found: dict[str, Any]) -> State:
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
