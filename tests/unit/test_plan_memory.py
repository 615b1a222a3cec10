"""Memory as llama.cpp allocates it: its own log's figures (0c1e570, CPU), and files that are broken."""

import json
import struct
from pathlib import Path

import pytest

from trimtab.errors import ConfigError
from trimtab.plan import cache, checkpoint, compute, memory, models, quantize, splits, tensors
from trimtab.plan.cache import Session, keys_values, states
from trimtab.plan.tensors import Tensor

STORIES = Path(__file__).parents[1] / "data" / "stories260K.gguf"

LOGGED = [
    ("llama-3.1-8b", Session(context=5000), 640.0),
    ("gemma-3-270m", Session(context=4096, sequences=2), 42.0),
    ("gemma-3-270m", Session(context=4096, sequences=8), 72.0),
    ("gemma-3-27b", Session(context=5000, sequences=3, unified=True), 1856.0),
    ("gemma-4-12b", Session(context=262144, keys="q8_0", values="q8_0"), 2431.0),
    ("gemma-4-e2b", Session(context=8192, flash=False), 66.0),
    ("gemma-3n-e4b", Session(context=131072), 1056.0),
    ("deepseek-v3", Session(context=32768, keys="q8_0", values="q8_0"), 1166.62),
    ("gpt-oss-120b", Session(context=32768, keys="q4_0", values="q4_0"), 331.59),
    ("qwen3.5-27b", Session(context=262144, sequences=4, unified=True), 16384.0),
]
WEIGHED = [
    ("llama-3.1-8b", "Q4_K_M", 4685.3), ("qwen2.5-0.5b", "Q4_K_M", 373.71), ("mixtral-8x7b", "Q4_K_M", 27129.87),
    ("gemma-4-26b-a4b", "Q4_K_M", 16002.84), ("deepseek-v3", "Q4_K_M", 385750.57), ("gpt-oss-120b", "MXFP4", 60438.47),
    ("smollm2-135m", "Q4_0", 85.77), ("llama-3.1-70b", "Q4_K_S", 38470.61), ("granite-4.0-h-tiny", "Q4_0", 3775.93),
]  # fmt: skip


@pytest.mark.parametrize(("name", "session", "mib"), LOGGED)
def test_the_cache_is_what_the_log_says(name: str, session: Session, mib: float):
    assert cache.keys_values(models.find(name).shape, session) == pytest.approx(mib, abs=0.01)


@pytest.mark.parametrize(
    ("name", "sequences", "mib"), [("qwen3.5-27b", 4, 598.5), ("granite-4.0-h-micro", 1, 73.79), ("lfm2-350m", 3, 0.23)]
)
def test_states_are_what_the_log_says(name: str, sequences: int, mib: float):
    assert cache.states(models.find(name).shape, sequences) == pytest.approx(mib, abs=0.01)


@pytest.mark.parametrize(("name", "mixture", "mib"), WEIGHED)
def test_weights_are_what_llama_quantize_makes(name: str, mixture: str, mib: float):
    assert memory.weights(models.find(name).shape, mixture).held.central == pytest.approx(mib, rel=0.003)


def test_the_compute_buffer_is_near_the_log():
    assert compute.buffer(models.find("llama-2-70b").shape, Session(context=32768)).central == pytest.approx(
        264, rel=0.1
    )
    eager = compute.buffer(models.find("llama-2-7b").shape, Session(context=8192, flash=False))
    assert eager.central == pytest.approx(584, rel=0.1)


def test_the_stack_adds_up_and_is_as_sure_as_its_parts():
    parts = memory.stack(models.find("qwen3.5-9b").shape, "Q4_K_M", Session(context=4096))
    total = parts.pop("total")
    assert total.central == pytest.approx(sum(part.central for part in parts.values()))
    assert total.tag == "extrapolated"
    assert parts["cache"].tag == "exact"
    assert parts["states"].central == pytest.approx(50.25)


def test_vllm_says_how_many_tokens_fit_and_when_none_do():
    shape = models.find("llama-3.1-8b").shape
    tokens = memory.paged(shape, "bf16", device=23.58 * 1024, step=20000)["tokens"]
    assert tokens.low <= 31232 <= tokens.high  # vllm-project/vllm#10517
    with pytest.raises(ConfigError, match="no room for a cache"):
        memory.paged(shape, "bf16", device=8192)


def test_what_one_token_reads_leaves_out_idle_experts_and_the_table():
    mixtral = memory.weights(models.find("mixtral-8x7b").shape, "Q4_K_M")
    assert mixtral.read < 0.35 * mixtral.held.central
    llama = memory.weights(models.find("llama-3.1-8b").shape, "F16")
    assert llama.read == pytest.approx(14315, rel=0.001)


def test_every_model_of_the_catalog_is_explained_by_its_tensors():
    for name, row in models.catalog().items():
        assert tensors.error(row.shape) < 0.003 or not row.shape.known, name


def test_an_unknown_model_or_precision_names_what_is_near():
    with pytest.raises(ConfigError, match=r"No model 'lama-3.1-8b'") as caught:
        models.find("lama-3.1-8b")
    assert "llama-3.1-8b" in caught.value.fix
    with pytest.raises(ConfigError, match="No quantization 'Q4_X'"):
        memory.weights(models.find("llama-3.1-8b").shape, "Q4_X")


def test_a_gguf_is_read_not_guessed():
    shape, found = checkpoint.read(STORIES)
    assert (shape.family, shape.hidden, shape.vocab, len(shape.layers)) == ("llama", 64, 512, 5)
    held = memory.weights(shape, "F32", found).held
    header_and_rounding = 20_000
    assert held.tag == "exact"
    assert 0 < STORIES.stat().st_size - held.central * 2**20 < header_and_rounding


@pytest.mark.parametrize("kept", [2, 4, 11, 40, 200, 3000])
def test_a_truncated_gguf_is_said_to_be_one(tmp_path: Path, kept: int):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(STORIES.read_bytes()[:kept])
    with pytest.raises(ConfigError, match=r"cut short|no GGUF"):
        checkpoint.read(cut)


def test_a_gguf_with_impossible_sizes_is_refused(tmp_path: Path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 2**60, 1))
    with pytest.raises(ConfigError, match="claims"):
        checkpoint.read(broken)


def test_a_config_tells_the_same_shape_as_the_catalog(tmp_path: Path):
    config = {
        "model_type": "gpt_oss", "num_hidden_layers": 24, "hidden_size": 2880, "vocab_size": 201088, "head_dim": 64,
        "num_attention_heads": 64, "num_key_value_heads": 8, "intermediate_size": 2880, "num_local_experts": 32,
        "num_experts_per_tok": 4, "sliding_window": 128, "tie_word_embeddings": False,
        "layer_types": ["sliding_attention", "full_attention"] * 12,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    shape, _ = checkpoint.read(tmp_path)
    listed = models.find("gpt-oss-20b").shape
    session = Session(context=32768)
    assert cache.keys_values(shape, session) == cache.keys_values(listed, session)
    assert memory.weights(shape, "Q8_0").held.central == pytest.approx(memory.weights(listed, "Q8_0").held.central)


def test_a_broken_config_is_refused(tmp_path: Path):
    path = tmp_path / "config.json"
    path.write_text('{"model_type": "llama", "num_hidden_layers": -3, "hidden_size": 4, "vocab_size": 9}')
    with pytest.raises(ConfigError, match="-3 layers"):
        checkpoint.read(path)
    path.write_text('{"model_type": "llama"}')
    with pytest.raises(ConfigError, match="num_hidden_layers"):
        checkpoint.read(path)
    path.write_text("{")
    with pytest.raises(ConfigError, match="no JSON"):
        checkpoint.read(path)


def test_safetensors_headers(tmp_path: Path):
    head = json.dumps({"a.weight": {"dtype": "BF16", "shape": [4, 8], "data_offsets": [0, 64]}}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(head)) + head)
    (row,) = checkpoint.safetensors(path)
    assert (row.name, row.dims, row.kind) == ("a.weight", (8, 4), "BF16")
    path.write_bytes(struct.pack("<Q", len(head)) + head[:10])
    with pytest.raises(ConfigError, match="cut short"):
        checkpoint.safetensors(path)


@pytest.mark.parametrize("mode", ["layer", "row"])
@pytest.mark.parametrize("gpus", [1, 2, 3, 8])
def test_what_devices_hold_together_is_the_whole(mode: str, gpus: int):
    shape, session = models.find("llama-3.1-70b").shape, Session(context=8192)
    each = splits.stacks(shape, "Q4_K_M", session, gpus, mode)
    table = quantize.size(Tensor("token_embd.weight", (shape.hidden, shape.vocab)), "Q4_K") / 2**20
    whole = memory.weights(shape, "Q4_K_M").held.central
    assert sum(one["weights"].central for one in each) == pytest.approx(whole - table)  # it stays on the host
    assert sum(one["cache"].central for one in each) == pytest.approx(keys_values(shape, session))
    assert all(one["total"].low <= one["total"].central <= one["total"].high for one in each)


def test_rows_are_cut_evenly_and_layers_are_whole():
    """80 layers and the output over 4 devices: 81 / 4, so that the first has 21 and the last 19 and the output."""
    shape, session = models.find("llama-3.1-70b").shape, Session(context=8192)
    assert [sum(splits.owner(n, 80, 4) == gpu for n in range(80)) for gpu in range(4)] == [21, 20, 20, 19]
    assert splits.owner(80, 80, 4) == 3
    rows, layers = (splits.stacks(shape, "Q4_K_M", session, 4, mode) for mode in ("row", "layer"))
    spread = [max(one["weights"].central for one in each) - min(one["weights"].central for one in each)
              for each in (rows, layers)]  # fmt: skip
    assert spread[0] < 5 < spread[1]


def test_experts_are_not_cut_by_rows():
    shape, session = models.find("gpt-oss-20b").shape, Session(context=4096)
    rows, layers = (splits.stacks(shape, "MXFP4", session, 2, mode)[0]["weights"].central for mode in ("row", "layer"))
    assert rows == pytest.approx(layers, rel=0.1)


@pytest.mark.parametrize(("gpus", "mode"), [(2, "diagonal"), (500, "layer")])
def test_splits_that_cannot_be_are_refused(gpus: int, mode: str):
    with pytest.raises(ConfigError):
        splits.stacks(models.find("llama-3.1-8b").shape, "Q4_K_M", Session(context=512), gpus, mode)


def test_a_recurrent_state_is_with_its_layer():
    shape, session = models.find("granite-4.0-h-tiny").shape, Session(context=4096)
    each = splits.stacks(shape, "Q4_K_M", session, 3)
    assert sum(one["states"].central for one in each) == pytest.approx(states(shape, 1))
