"""Models most of whose layers keep a state in place of a cache: from the catalog, a config.json, and a name alone."""

import json
import struct
from pathlib import Path

import msgspec
import pytest

from trimtab.errors import ConfigError
from trimtab.plan import _hub, cache, checkpoint, devices, fits, memory, models, naming, rates, serving
from trimtab.plan.cache import Session
from trimtab.plan.tensors import error

NEMOTRON = {
    "model_type": "nemotron_h", "num_hidden_layers": 62, "hidden_size": 5120, "vocab_size": 131072,
    "num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 20480,
    "hybrid_override_pattern": "M-M-M-M*-M-M-M-M*-M-M-M-M*-M-M-M-M*-M-M-M-M*-M-M-M-M*-M-M-M-M-",
    "mamba_num_heads": 128, "mamba_head_dim": 80, "ssm_state_size": 128, "n_groups": 8, "conv_kernel": 4,
}  # fmt: skip
NEXT = {
    "model_type": "qwen3_next", "num_hidden_layers": 48, "hidden_size": 2048, "vocab_size": 151936,
    "num_attention_heads": 16, "num_key_value_heads": 2, "head_dim": 256, "full_attention_interval": 4,
    "num_experts": 512, "num_experts_per_tok": 10, "moe_intermediate_size": 512, "intermediate_size": 5120,
    "shared_expert_intermediate_size": 512, "linear_num_value_heads": 32, "linear_value_head_dim": 128,
    "linear_key_head_dim": 128, "linear_num_key_heads": 16, "linear_conv_kernel_dim": 4,
}  # fmt: skip
PLAIN = {"num_hidden_layers": 32, "hidden_size": 4096, "vocab_size": 65536, "num_attention_heads": 32,
         "num_key_value_heads": 8, "intermediate_size": 14336}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "attend", "billions"),
    [
        ("nemotron-nano-9b-v2", 4, 8.89), ("nemotron-nano-12b-v2", 6, 12.31), ("nemotron-3-nano-30b-a3b", 6, 31.6),
        ("qwen3-next-80b-a3b", 12, 79.7), ("lfm2-2.6b", 8, 2.57), ("lfm2-8b-a1b", 6, 8.34),
        ("falcon-h1-7b", 44, 7.59), ("granite-4.0-h-small", 4, 32.2),
    ],
)  # fmt: skip
def test_what_is_counted_is_what_the_maker_counts(name: str, attend: int, billions: float):
    shape = models.find(name).shape
    assert shape.params / 1e9 == pytest.approx(billions, rel=0.003)
    assert error(shape) < 0.003
    assert sum(layer.caches for layer in shape.layers) == attend
    assert shape.recurrent


def test_a_config_says_the_same_as_the_catalog():
    for config, name in ((NEMOTRON, "nemotron-nano-12b-v2"), (NEXT, "qwen3-next-80b-a3b")):
        ours, listed = _hub.shape(config, name), models.find(name).shape
        assert ours.known
        assert ours.state == listed.state
        assert ours.depth == listed.depth
        session = Session(context=8192)
        assert cache.keys_values(ours, session) == cache.keys_values(listed, session)
        assert cache.states(ours, 2) == cache.states(listed, 2) > 10


def test_other_hybrids_attend_where_their_configs_say():
    kinds = {
        "jamba": {"attn_layer_period": 8, "attn_layer_offset": 4, "mamba_d_state": 16, "mamba_expand": 2},
        "bamba": {"attn_layer_indices": [9, 18, 27], "mamba_n_heads": 128, "mamba_d_head": 64, "mamba_d_state": 128},
        "kimi_linear": {"linear_attn_config": {"kda_layers": [1, 2, 3], "num_heads": 32, "head_dim": 128},
                        "kv_lora_rank": 512},
        "lfm2": {"full_attn_idxs": [2, 5, 8]},
        "falcon_h1": {"mamba_d_ssm": 3072, "mamba_n_heads": 24, "mamba_d_head": 128, "mamba_d_state": 256},
    }  # fmt: skip
    attend = dict.fromkeys(kinds, 32) | {"jamba": 4, "bamba": 3, "kimi_linear": 29, "lfm2": 3}
    for kind, more in kinds.items():
        shape = _hub.shape(PLAIN | more | {"model_type": kind}, kind)
        assert sum(layer.caches for layer in shape.layers) == attend[kind], kind
        assert cache.states(shape, 1) > 0, kind
        assert shape.known == (kind not in ("jamba", "kimi_linear")), kind


def test_a_name_alone_is_sketched_with_states_and_said_to_be_a_guess():
    hybrid, dense = naming.sketch("ai21labs/AI21-Jamba-Large-94B"), naming.sketch("some-94b")
    assert hybrid
    assert dense
    assert not hybrid.known
    assert sum(layer.caches for layer in hybrid.layers) * 7 < sum(layer.caches for layer in dense.layers)
    listed = naming.match("nvidia/NVIDIA-Nemotron-Nano-12B-v2", models.catalog())
    assert listed
    assert listed.shape.known


def test_a_server_reads_states_beside_the_cache():
    shape = models.find("nemotron-nano-12b-v2").shape
    load = serving.load(
        shape, serving.split(shape, "bf16"), devices.find("b200-sxm"), gpus=1, batch=64, prompt=1000, answer=300,
        precision="bf16",
    )  # fmt: skip
    assert load.state == pytest.approx(0.30, rel=0.1), "28 layers of 10240 x 128 numbers, read and written"
    without = msgspec.structs.replace(load, state=0.0)
    assert rates.step_seconds(load) > rates.step_seconds(without)


def gguf(path: Path, keys: dict[str, str | int], tensors: dict[str, tuple[int, ...]]) -> None:
    """A header alone, of F16 tensors."""

    def text(word: str) -> bytes:
        return struct.pack("<Q", len(word)) + word.encode()

    made = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys))
    for word, value in keys.items():
        made += text(word) + (
            struct.pack("<II", 4, value) if isinstance(value, int) else struct.pack("<I", 8) + text(value)
        )
    for word, dims in tensors.items():
        made += text(word) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, 1, 0)
    path.write_bytes(made)


KEYS: dict[str, str | int] = {
    "general.architecture": "nemotron_h", "nemotron_h.block_count": 3, "nemotron_h.embedding_length": 512,
    "nemotron_h.attention.head_count": 8, "nemotron_h.attention.head_count_kv": 2,
    "nemotron_h.feed_forward_length": 2048, "nemotron_h.ssm.inner_size": 1024, "nemotron_h.ssm.state_size": 128,
    "nemotron_h.ssm.group_count": 8, "nemotron_h.ssm.conv_kernel": 4, "nemotron_h.ssm.time_step_rank": 16,
}  # fmt: skip
LAYERS = (
    {"token_embd.weight": (512, 1000), "blk.0.attn_norm.weight": (512,), "blk.0.ssm_in.weight": (512, 4240)},
    {"blk.1.attn_norm.weight": (512,), "blk.1.ffn_up.weight": (512, 2048), "blk.1.ffn_down.weight": (2048, 512),
     "blk.2.attn_norm.weight": (512,), "blk.2.attn_q.weight": (512, 512), "blk.2.attn_v.weight": (512, 128),
     "output.weight": (512, 1000)},
)  # fmt: skip


def test_a_file_says_which_layers_attend(tmp_path: Path):
    gguf(tmp_path / "whole.gguf", KEYS, LAYERS[0] | LAYERS[1])
    shape, found = checkpoint.read(tmp_path / "whole.gguf")
    assert [layer.mixer for layer in shape.layers] == ["mamba2", "none", "attention"]
    assert (shape.depth, shape.recurrent, shape.known, shape.tied) == (2, 1, True, False)
    assert next(tensor.read for tensor in found if tensor.name == "token_embd.weight") == 0.0


def test_a_file_in_parts_is_read_whole(tmp_path: Path):
    """Whichever part is named: the first alone held a third of the weights, and was called exact."""
    gguf(tmp_path / "whole.gguf", KEYS, LAYERS[0] | LAYERS[1])
    split: dict[str, str | int] = {"split.count": 2}
    gguf(tmp_path / "m-00001-of-00002.gguf", KEYS | split, LAYERS[0])
    with pytest.raises(ConfigError, match=r"m-00002-of-00002\.gguf is not there"):
        checkpoint.read(tmp_path / "m-00001-of-00002.gguf")
    gguf(tmp_path / "m-00002-of-00002.gguf", split, LAYERS[1])
    whole, found = checkpoint.read(tmp_path / "whole.gguf")
    for name in ("m-00001-of-00002.gguf", "m-00002-of-00002.gguf"):
        shape, tensors = checkpoint.read(tmp_path / name)
        assert (shape.layers, shape.params, shape.tied) == (whole.layers, whole.params, whole.tied)
        assert memory.weights(shape, "F16", tensors) == memory.weights(whole, "F16", found)
    (tmp_path / "m-00001-of-00002.gguf").rename(tmp_path / "renamed.gguf")
    with pytest.raises(ConfigError, match="does not say which"):
        checkpoint.read(tmp_path / "renamed.gguf")


def test_a_layer_that_only_drafts_is_not_loaded(tmp_path: Path):
    """llama.cpp skips the tensors of GLM 4.5's last block and gives it no cache."""
    keys: dict[str, str | int] = {
        "general.architecture": "glm4moe", "glm4moe.block_count": 3, "glm4moe.nextn_predict_layers": 1,
        "glm4moe.embedding_length": 512, "glm4moe.attention.head_count": 8, "glm4moe.attention.head_count_kv": 2,
        "glm4moe.feed_forward_length": 2048,
    }  # fmt: skip
    parts: dict[str, tuple[int, ...]] = {"token_embd.weight": (512, 1000), "output.weight": (512, 1000)}
    for n in range(3):
        parts |= {f"blk.{n}.attn_norm.weight": (512,), f"blk.{n}.attn_q.weight": (512, 512),
                  f"blk.{n}.attn_v.weight": (512, 128), f"blk.{n}.ffn_down.weight": (2048, 512)}  # fmt: skip
    gguf(tmp_path / "glm.gguf", keys, parts)
    shape, found = checkpoint.read(tmp_path / "glm.gguf")
    assert len(shape.layers) == 2
    assert sum(tensor.count for tensor in found) == 2 * 512 * 1000 + 2 * 512 * (1 + 512 + 128 + 2048)
    assert cache.keys_values(shape, Session(context=4096)) == 2 * 4096 * 2 * (2 * 64) * 2 / 2**20


def test_a_key_of_another_type_is_refused(tmp_path: Path):
    for name in ("nemotron_h.block_count", "nemotron_h.attention.head_count", "nemotron_h.ssm.inner_size"):
        gguf(tmp_path / "odd.gguf", KEYS | {name: "many"}, LAYERS[0] | LAYERS[1])
        with pytest.raises(ConfigError, match="garbles a key"):
            checkpoint.read(tmp_path / "odd.gguf")


def test_what_a_file_says_is_as_fast_as_what_the_catalog_says(tmp_path: Path):
    """A config has no count of parameters: prompts seemed to be read in no time, and a server's power was a crash."""
    path = tmp_path / "config.json"
    dense = {"model_type": "qwen3", "num_hidden_layers": 36, "hidden_size": 4096, "vocab_size": 151936, "head_dim": 128,
             "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 12288}  # fmt: skip
    sparse = dense | {"model_type": "qwen3_moe", "num_hidden_layers": 48, "hidden_size": 2048, "num_key_value_heads": 4,
                      "moe_intermediate_size": 768, "num_experts": 128, "num_experts_per_tok": 8}  # fmt: skip
    for config, name in ((dense, "qwen3-8b"), (sparse, "qwen3-30b-a3b"), (NEMOTRON, "nemotron-nano-12b-v2")):
        path.write_text(json.dumps(config))
        shape, found = checkpoint.read(path)
        listed = models.find(name).shape
        assert shape.params == pytest.approx(listed.params, rel=0.01)
        assert shape.active == pytest.approx(listed.active, rel=0.05)
        for precision, device in (("Q4_K_M", "rtx-5090"), ("bf16", "b200-sxm")):
            asked = fits.Asked(precision=precision)
            ours, theirs = (
                fits.fits(one, found, devices.find(device), asked).figures for one in (shape, listed)
            )  # fmt: skip
            for figure in set(ours) & {"decode", "prefill", "first token", "power"}:
                assert ours[figure].central == pytest.approx(theirs[figure].central, rel=0.05), (name, figure)


def test_a_token_reads_few_experts_of_a_checkpoint(tmp_path: Path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(PLAIN | {"model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2}))
    head = json.dumps({
        f"model.layers.0.{name}.weight": {"dtype": "BF16", "shape": [4, 8], "data_offsets": [0, 64]}
        for name in ("block_sparse_moe.experts.0.w1", "self_attn.q_proj")
    }).encode()  # fmt: skip
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head)
    _, found = checkpoint.read(tmp_path)
    assert sorted(tensor.read for tensor in found) == [0.25, 1.0]
