"""The fields of a config.json under the names that most of transformers' models use, with the defaults they omit.

Sources: transformers 4.57, `src/transformers/models/*/configuration_*.py`; the code of models that bring their own.
"""

from typing import Any

ALIASES = {
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers", "num_transformer_layers"),
    "hidden_size": ("n_embd", "d_model", "model_dim"),
    "num_attention_heads": ("n_head", "n_heads", "num_query_heads"),
    "num_key_value_heads": ("num_kv_heads", "n_head_kv", "kv_n_heads", "num_query_groups", "multi_query_group_num"),
    "head_dim": ("kv_channels", "attention_head_dim"),
    "intermediate_size": ("n_inner", "ffn_dim", "ffn_hidden_size", "block_ff_dim"),
    "vocab_size": ("padded_vocab_size",),
    "max_position_embeddings": ("n_positions", "n_ctx", "max_seq_len", "seq_length", "max_context_length",
                                "model_max_length"),
    "num_experts": ("n_routed_experts", "num_local_experts", "moe_num_experts"),
    "num_experts_per_tok": ("num_experts_per_token", "top_k_experts", "moe_k", "moe_topk", "moe_top_k"),
    "n_shared_experts": ("num_shared_experts", "num_shared_expert", "moe_num_shared_experts"),
    "first_k_dense_replace": ("num_dense_layers", "moe_layer_start_index"),
    "sliding_window": ("sliding_window_size",),
    "layer_types": ("layers_block_type",),
}  # fmt: skip
NESTED = ("attn_config", "ffn_config")
"""Where DBRX and MPT keep some of them."""
DEFAULTS: dict[str, dict[str, Any]] = {
    "gemma3_text": {"vocab_size": 262_208, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
                    "sliding_window": 4096, "max_position_embeddings": 131_072, "intermediate_size": 9216},
    "llama4_text": {"interleave_moe_layer_step": 1, "attention_chunk_size": 8192},
    "mistral": {"num_key_value_heads": 8},
    "cohere2": {"sliding_window_pattern": 4},
    "mamba2": {"expand": 2, "head_dim": 64, "num_heads": 128, "state_size": 128, "n_groups": 8},
}  # fmt: skip
"""By `model_type`, what makers leave out of the files that they publish."""
TIED = ("gemma", "gemma2", "gemma3", "gemma3_text", "gemma3n", "gemma3n_text", "gemma4", "gemma4_text", "cohere",
        "cohere2", "falcon", "gpt2", "gpt_bigcode", "bloom", "mpt", "starcoder2", "smollm3", "ernie4_5", "ernie4_5_moe",
        "lfm2", "lfm2_moe", "mamba", "mamba2")  # fmt: skip
"""Whose output is the table of embeddings where the file says nothing."""
UNGATED = ("starcoder2", "nemotron", "arcee", "apertus", "phi", "gpt_neox", "gptj", "gpt2", "gpt_bigcode", "falcon",
           "bloom", "mpt", "opt")  # fmt: skip
"""Whose feed-forwards have no gate: two matrices, of four times the width where the file says nothing."""


def usual(config: dict[str, Any]) -> dict[str, Any]:
    """The fields, those of a text model within a larger one first; names and defaults as most have them."""
    text = config.get("text_config")
    found = {**config, **(text if isinstance(text, dict) else {})}
    for part in NESTED:
        if isinstance(found.get(part), dict):
            found |= {key: value for key, value in found[part].items() if key not in found}
    for name, others in ALIASES.items():
        if found.get(name) is None:
            found |= next(({name: found[other]} for other in others if found.get(other) is not None), {})
    kind = str(found.get("model_type", ""))
    for name, value in DEFAULTS.get(kind, {}).items():
        if found.get(name) is None:
            found[name] = value
    if found.get("tie_word_embeddings") is None:
        found["tie_word_embeddings"] = bool(found.get("share_input_output_layers", kind in TIED))
    if kind in UNGATED and not found.get("intermediate_size") and found.get("hidden_size"):
        found["intermediate_size"] = 4 * int(found["hidden_size"])
    if kind == "falcon" and found.get("multi_query") and not found.get("new_decoder_architecture"):
        found["num_key_value_heads"] = 1
    return found


def at(value: Any, index: int) -> int:
    """A number, or that of a layer where a list names each one's; 0 for nothing."""
    if isinstance(value, list):
        value = value[index]
    return int(value or 0)
