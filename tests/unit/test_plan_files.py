"""Weights in safetensors: what a token reads of them, and at which precision they are taken."""

import json
import struct
from pathlib import Path

import pytest

from trimtab.cli.app import run
from trimtab.errors import ConfigError
from trimtab.plan import checkpoint, memory

HIDDEN, WIDE, VOCAB = 256, 1024, 5000
CONFIG = {
    "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": WIDE, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": VOCAB, "max_position_embeddings": 4096,
}  # fmt: skip
LAYER = {
    "self_attn.q_proj.weight": (HIDDEN, HIDDEN), "self_attn.k_proj.weight": (128, HIDDEN),
    "self_attn.v_proj.weight": (128, HIDDEN), "self_attn.o_proj.weight": (HIDDEN, HIDDEN),
    "mlp.gate_proj.weight": (WIDE, HIDDEN), "mlp.up_proj.weight": (WIDE, HIDDEN),
    "mlp.down_proj.weight": (HIDDEN, WIDE),
}  # fmt: skip
EACH = sum(rows * columns for rows, columns in LAYER.values())


def folder(path: Path, *, tied: bool, kind: str = "BF16", more: dict[str, tuple[int, int]] | None = None) -> Path:
    """A checkpoint of two layers, header alone."""
    (path / "config.json").write_text(json.dumps(CONFIG | {"tie_word_embeddings": tied}))
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (VOCAB, HIDDEN)}
    shapes |= {} if tied else {"lm_head.weight": (VOCAB, HIDDEN)}
    shapes |= {f"model.layers.{n}.{name}": dims for n in range(2) for name, dims in LAYER.items()} | (more or {})
    head = json.dumps({name: {"dtype": kind, "shape": dims, "data_offsets": [0, 0]} for name, dims in shapes.items()})
    (path / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head.encode())
    return path


@pytest.mark.parametrize("tied", [True, False])
def test_a_token_reads_the_output_whichever_table_that_is(tmp_path, tied):
    shape, found = checkpoint.read(folder(tmp_path, tied=tied))
    weights = memory.weights(shape, "BF16", found)
    assert weights.held.central * 2**20 == 2 * (2 * EACH + VOCAB * HIDDEN * (1 if tied else 2))
    assert weights.read * 2**20 == 2 * (2 * EACH + VOCAB * HIDDEN)


def test_towers_and_drafting_layers_are_held_and_not_read(tmp_path):
    more = {"vision_tower.blocks.0.weight": (64, 64), "model.layers.2.mlp.up_proj.weight": (WIDE, HIDDEN)}
    shape, found = checkpoint.read(folder(tmp_path, tied=False, more=more))
    weights = memory.weights(shape, "BF16", found)
    assert weights.held.central * 2**20 == 2 * (2 * EACH + 2 * VOCAB * HIDDEN + 64 * 64 + WIDE * HIDDEN)
    assert weights.read * 2**20 == 2 * (2 * EACH + VOCAB * HIDDEN)


@pytest.mark.parametrize(("kind", "meant"), [("BF16", "BF16"), ("F8_E4M3", "fp8"), ("I32", "w4a16")])
def test_a_file_is_of_the_precision_that_its_bytes_are(tmp_path, kind, meant):
    assert checkpoint.precision(checkpoint.read(folder(tmp_path, tied=True, kind=kind))[1]) == meant


def test_a_type_that_is_not_known_is_named(tmp_path):
    with pytest.raises(ConfigError, match="has the type F9"):
        checkpoint.read(folder(tmp_path, tied=True, kind="F9"))


def test_a_file_is_taken_at_its_own_precision_unless_another_is_asked_for(tmp_path, capsys):
    path = str(folder(tmp_path, tied=True))
    found = {}
    for asked in ((), ("-q", "BF16"), ("-q", "Q4_0")):
        assert run(["plan", "memory", path, *asked, "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        found[asked] = said["precision"], said["parts"]["weights"]["central"]
    assert found[()] == found["-q", "BF16"]
    assert found[()][0] == "BF16"
    assert found["-q", "Q4_0"][0] == "Q4_0"
    q4_0, q6_k, norms = 18 / 32, 210 / 256, 5 * HIDDEN * 4  # the output, which is the embeddings, at Q6_K
    assert found["-q", "Q4_0"][1] * 2**20 == 2 * EACH * q4_0 + VOCAB * HIDDEN * q6_k + norms
    assert run(["plan", "fit", path, "--on", "m2"]) == 0
    assert " BF16 fits on m2" in capsys.readouterr().out


@pytest.mark.parametrize(("model", "meant"), [("gpt-oss-20b", "MXFP4"), ("llama-3.2-1b", "Q4_K_M")])
def test_a_model_is_taken_at_what_it_is_published_at(capsys, model, meant):
    assert run(["plan", "fit", model, "--on", "m4-max"]) == 0
    assert f"{model} {meant} fits on m4-max" in capsys.readouterr().out
