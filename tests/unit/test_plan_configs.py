"""config.json files as makers publish them: parameters and caches against sums made by hand."""

import math

import pytest

from trimtab.errors import ConfigError
from trimtab.plan import _hub, cache, devices, models, rates, serving
from trimtab.plan.cache import Session
from trimtab.plan.tensors import counted

LLAMA_4 = {
    "model_type": "llama4", "tie_word_embeddings": False, "vision_config": {"hidden_size": 1408}, "text_config": {
        "model_type": "llama4_text", "hidden_size": 5120, "intermediate_size": 8192, "intermediate_size_mlp": 16384,
        "num_hidden_layers": 48, "num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128,
        "num_local_experts": 128, "num_experts_per_tok": 1, "interleave_moe_layer_step": 2, "vocab_size": 202048,
        "attention_chunk_size": 8192,
    },
}  # fmt: skip
GEMMA = {"model_type": "gemma3", "vision_config": {"hidden_size": 1152}, "text_config": {
    "model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34,
    "sliding_window": 1024}}  # fmt: skip
"""Of gemma-3-4b-it: its heads and its vocabulary are transformers' defaults, and so not in the file."""
ERNIE = {
    "model_type": "ernie4_5_moe", "hidden_size": 2560, "intermediate_size": 12288, "num_hidden_layers": 28,
    "num_attention_heads": 20, "num_key_value_heads": 4, "head_dim": 128, "moe_num_experts": 64,
    "moe_intermediate_size": 1536, "moe_k": 6, "moe_num_shared_experts": 2, "moe_layer_start_index": 1,
    "moe_layer_interval": 1, "moe_layer_end_index": 29, "vocab_size": 103424,
}  # fmt: skip
STARCODER = {
    "model_type": "starcoder2", "hidden_size": 4608, "intermediate_size": 18432, "num_hidden_layers": 32,
    "num_attention_heads": 36, "num_key_value_heads": 4, "vocab_size": 49152, "sliding_window": 4096,
}  # fmt: skip
COHERE = {
    "model_type": "cohere2", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "sliding_window": 4096, "vocab_size": 256000,
}  # fmt: skip
MIMO = {
    "model_type": "mimo_v2_flash", "hidden_size": 4096, "intermediate_size": 16384, "moe_intermediate_size": 2048,
    "num_hidden_layers": 48, "num_attention_heads": 64, "num_key_value_heads": 4, "head_dim": 192, "v_head_dim": 128,
    "swa_num_attention_heads": 64, "swa_num_key_value_heads": 8, "swa_head_dim": 192, "swa_v_head_dim": 128,
    "sliding_window_size": 128, "hybrid_layer_pattern": [0, *[1] * 4, *([0, *[1] * 5] * 7), 0],
    "n_routed_experts": 256, "num_experts_per_tok": 8, "moe_layer_freq": [0, *[1] * 47], "vocab_size": 152576,
    "tie_word_embeddings": False,
}  # fmt: skip
MINIMAX = {
    "model_type": "minimax_text_01", "hidden_size": 6144, "intermediate_size": 9216, "num_hidden_layers": 80,
    "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 128, "num_local_experts": 32,
    "num_experts_per_tok": 2, "vocab_size": 200064, "attn_type_list": [*[0] * 7, 1] * 10,
}  # fmt: skip
PUZZLE = {
    "model_type": "nemotron-nas", "hidden_size": 8192, "intermediate_size": None, "num_hidden_layers": 2,
    "num_attention_heads": 64, "num_key_value_heads": None, "vocab_size": 128256, "block_configs": [
        {"attention": {"n_heads_in_group": 8, "no_op": False, "replace_with_linear": False},
         "ffn": {"ffn_mult": 5.25, "no_op": False}},
        {"attention": {"n_heads_in_group": None, "no_op": True, "replace_with_linear": False},
         "ffn": {"ffn_mult": 1.0, "no_op": False}},
    ],
}  # fmt: skip
DBRX = {
    "model_type": "dbrx", "d_model": 6144, "n_layers": 40, "n_heads": 48, "attn_config": {"kv_n_heads": 8},
    "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4}, "vocab_size": 100352,
}  # fmt: skip
HUNYUAN = {
    "model_type": "hunyuan_v1_moe", "hidden_size": 4096, "intermediate_size": 3072, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "num_experts": 64,
    "moe_intermediate_size": [3072] * 32, "moe_topk": [8] * 32, "num_shared_expert": [1] * 32, "vocab_size": 128167,
    "tie_word_embeddings": True,
}  # fmt: skip


def attention(hidden, heads, kv, width, value=0):
    """Queries, keys, values, output."""
    value = value or width
    return hidden * (heads * width + kv * width + kv * value) + heads * value * hidden


MAVERICK = 48 * attention(5120, 40, 8, 128) + 24 * 3 * 5120 * (16384 + 128 * 8192 + 8192) + 2 * 202048 * 5120
SUMS = {
    # in every other layer 128 experts and one that sees every token, in the others a wide feed-forward
    "Llama 4 Maverick": (LLAMA_4, MAVERICK, 24 * 127 * 3 * 5120 * 8192),
    "Gemma 3 4B": (GEMMA, 34 * (attention(2560, 8, 4, 256) + 3 * 2560 * 10240) + 262208 * 2560, 0),
    "ERNIE 4.5 21B": (
        ERNIE, 28 * attention(2560, 20, 4, 128) + 3 * 2560 * (12288 + 27 * 1536 * 66) + 103424 * 2560,
        27 * 58 * 3 * 2560 * 1536,
    ),
    # two matrices a feed-forward, not three
    "StarCoder2 7B": (STARCODER, 32 * (attention(4608, 36, 4, 128) + 2 * 4608 * 18432) + 49152 * 4608, 0),
    "Command R7B": (COHERE, 32 * (attention(4096, 32, 8, 128) + 3 * 4096 * 14336) + 256000 * 4096, 0),
    "MiMo V2 Flash": (
        MIMO, 9 * attention(4096, 64, 4, 192, 128) + 39 * attention(4096, 64, 8, 192, 128)
        + 3 * 4096 * (16384 + 47 * 256 * 2048) + 2 * 152576 * 4096, 47 * 248 * 3 * 4096 * 2048,
    ),
    "DBRX": (
        DBRX, 40 * (attention(6144, 48, 8, 128) + 16 * 3 * 6144 * 10752) + 2 * 100352 * 6144, 40 * 12 * 3 * 6144 * 10752
    ),
    "Hunyuan A13B": (
        HUNYUAN, 32 * (attention(4096, 32, 8, 128) + 65 * 3 * 4096 * 3072) + 128167 * 4096, 32 * 56 * 3 * 4096 * 3072
    ),
    # the first layer as Llama's 70B, the second a feed-forward alone: 2 x 8192 / 3 in steps of 256
    "Nemotron NAS": (
        PUZZLE, attention(8192, 64, 8, 128) + 3 * 8192 * 28672 + 3 * 8192 * 5632 + 2 * 128256 * 8192, 0
    ),
}  # fmt: skip
PUBLISHED = {"Llama 4 Maverick": 400.7, "Gemma 3 4B": 3.88, "ERNIE 4.5 21B": 21.8, "StarCoder2 7B": 7.17,
             "Command R7B": 8.03, "MiMo V2 Flash": 309.0, "DBRX": 131.6, "Hunyuan A13B": 80.4}  # fmt: skip
"""1e9 parameters, as the makers' cards and the hub's counts of tensors have them, without towers for images."""


@pytest.mark.parametrize("name", SUMS)
def test_parameters_are_those_of_the_matrices(name):
    config, whole, idle = SUMS[name]
    shape = counted(_hub.shape(config, name))
    assert shape.known or name == "Hunyuan A13B"
    assert shape.params == pytest.approx(whole, rel=1e-3)  # norms, biases and routers beside
    assert shape.active == pytest.approx(whole - idle, rel=1e-2)
    if name in PUBLISHED:
        assert shape.params / 1e9 == pytest.approx(PUBLISHED[name], rel=3e-3)


def test_windows_and_heads_are_read_layer_by_layer():
    mimo = _hub.shape(MIMO, "mimo")
    full = 9 * 32768 * 4 * (192 + 128) * 2
    ring = 39 * (128 + 512 + 128) * 8 * (192 + 128) * 2  # the window and a micro-batch, in steps of 256 cells
    assert cache.keys_values(mimo, Session(context=32768)) == pytest.approx((full + ring) / 2**20)
    exaone = COHERE | {"model_type": "exaone4", "sliding_window_pattern": "LLLG", "tie_word_embeddings": False}
    assert [bool(layer.window) for layer in _hub.shape(exaone, "x").layers[:5]] == [True, True, True, False, True]


def test_a_servers_step_reads_no_more_of_a_layer_than_its_window():
    shape, device = models.find("gpt-oss-120b").shape, devices.find("h200-sxm")
    each = 18 * 2 * 8 * 64 * 2 / 1e9  # half of 36 layers: keys and values of 8 heads x 64 at 16 bits

    def load(prompt: int) -> serving.Load:
        return serving.load(
            shape, serving.split(shape, "mxfp4"), device, gpus=1, batch=64, prompt=prompt, answer=1000,
            precision="mxfp4", apart=True,
        )  # fmt: skip

    assert load(1000).token == pytest.approx(each)
    assert load(1000).windows == ((128, pytest.approx(each)),)
    given = rates.given("step")
    rate = device.bandwidth * math.exp(given["cached"])
    more = 64 * 10_000 * each / rate * math.exp(given["engine:vllm"] + given["apart"])
    assert rates.step_seconds(load(20_000)) - rates.step_seconds(load(10_000)) == pytest.approx(more)


def test_lightning_attention_keeps_a_state_of_a_square_a_head():
    shape = _hub.shape(MINIMAX, "minimax")
    assert sum(layer.caches for layer in shape.layers) == 10
    assert cache.keys_values(shape, Session(context=32768)) == 10 * 32768 * 2 * 8 * 128 * 2 / 2**20
    assert cache.states(shape, 1) == 70 * 64 * 128 * 128 * 4 / 2**20


def test_layers_without_attention_keep_nothing():
    shape = _hub.shape(PUZZLE, "puzzle")
    assert cache.keys_values(shape, Session(context=8192)) == 8192 * 2 * 8 * 128 * 2 / 2**20
    assert shape.depth == 1


def test_a_wholly_recurrent_model_has_no_cache():
    config = {"model_type": "mamba2", "hidden_size": 2560, "num_hidden_layers": 64, "num_heads": 80, "head_dim": 64,
              "state_size": 128, "n_groups": 1, "vocab_size": 50288}  # fmt: skip
    shape = counted(_hub.shape(config, "mamba2-2.7b"))
    assert cache.keys_values(shape, Session(context=8192)) == 0
    assert cache.states(shape, 1) == 64 * (3 * (5120 + 2 * 128) + 5120 * 128) * 4 / 2**20
    assert shape.params / 1e9 == pytest.approx(2.70, rel=5e-3)


def test_a_config_without_a_width_of_the_feed_forward_is_refused():
    with pytest.raises(ConfigError, match="lacks or garbles 'intermediate_size'"):
        _hub.shape({key: value for key, value in COHERE.items() if key != "intermediate_size"}, "x")


def test_some_layers_may_be_dense_among_experts():
    config = ERNIE | {"model_type": "qwen3_moe", "num_experts": 64, "num_experts_per_tok": 8, "mlp_only_layers": [2],
                      "decoder_sparse_step": 2}  # fmt: skip
    for key in ("moe_layer_start_index", "moe_layer_end_index", "moe_layer_interval", "moe_num_experts"):
        config.pop(key)
    shape = _hub.shape(config, "x")
    assert [bool(layer.experts) for layer in shape.layers[:6]] == [False, True, False, True, False, True]
    assert _hub.shape(config | {"decoder_sparse_step": 1}, "x").layers[2].experts == 0
