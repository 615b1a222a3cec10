"""Devices and models by the names that drivers, hubs and logs give them; tables that people made."""

import pytest

from trimtab.errors import ConfigError
from trimtab.plan import devices, energy, models, naming, rates, serving, speed, table
from trimtab.plan.devices import catalog, find, match
from trimtab.plan.models import find as model


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),  # as nvidia-smi prints them
        ("NVIDIA A100-SXM4-80GB", "a100-sxm-80"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA H200", "h200-sxm"),
        ("NVIDIA RTX 6000 Ada Generation", "rtx-6000-ada"),
        ("AMD Instinct MI300X", "mi300x"),
        ("AMD Radeon RX 7900 XTX", "rx-7900-xtx"),
        ("a100_sxm", "a100-sxm-80"),
        ("gb200_sxm", "gb200"),
        ("Apple M2 Max", "m2-max"),
        ("DGX Spark", "gb10"),
    ],
)
def test_a_device_is_found_by_the_names_it_goes_by(name, key):
    assert find(name).id == key


@pytest.mark.parametrize(
    "name", ["NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA A100-SXM4-40GB", "A100", "RTX 3090 Ti Super", "", "GPU"]
)
def test_what_is_another_device_or_several_is_refused(name):
    assert match(name, catalog()) is None
    with pytest.raises(ConfigError, match="No device"):
        find(name)


def test_every_row_is_found_by_its_id_and_its_name():
    for key, row in catalog().items():
        assert match(key, catalog()) is row
        assert match(row.name, catalog()) is row


def row(**cells):
    given = {"id": "new", "cls": "gpu", "mem_gb": "24", "mem_bw_gbs": "1008", "fp16_tflops_dense": "330"} | cells
    return devices.read(table.Line(given, "hardware.csv, line 2"))


def test_a_device_without_facts_has_a_wide_interval_that_says_so():
    shape = model("llama-3.1-8b").shape
    weights = speed.Weights(energy.Figure(4600, 4600, 4600, "MiB", "exact"), 4400)

    def decode(device):
        return rates.decode(speed.run(shape, weights, device, "Q4_K_M"))

    known, guessed, half = decode(row()), decode(row(mem_bw_gbs="")), decode(row(fp16_tflops_dense="n/a"))
    assert (known.tag, guessed.tag, half.tag) == ("calibrated", "unknown", "calibrated")  # decode reads bytes
    assert guessed.low < known.central < guessed.high

    def prefill(device):
        return rates.prefill(speed.run(shape, weights, device, "Q4_K_M"))

    known, guessed = prefill(row()), prefill(row(fp16_tflops_dense=""))
    assert (known.tag, guessed.tag) == ("calibrated", "unknown")
    assert guessed.low < known.central < guessed.high


def test_devices_of_the_catalog_lie_in_the_intervals_of_those_without_facts():
    rows = [one for one in catalog().values() if one.kind != "browser"]
    for name, (low, high), ratios in (
        ("bandwidth", rates.UNRATED, [devices.GUESS / one.bandwidth for one in rows]),
        ("operations", rates.UNCOUNTED, [one.bandwidth / 30 / one.tflops for one in rows]),
    ):
        inside = sum(low <= ratio <= high for ratio in ratios)
        assert inside >= 0.9 * len(rows), name


def test_power_of_a_device_without_a_rated_one_is_extrapolated():
    shape = model("llama-3.1-8b").shape
    made = {}
    for watts in ("700", ""):
        device = row(cls="dc", mem_bw_gbs="3350", fp16_tflops_dense="989", tdp_w=watts)
        load = serving.load(
            shape, serving.split(shape, "bf16"), device, gpus=1, batch=32, prompt=1000, answer=300, precision="bf16"
        )
        made[watts] = rates.watts(load).tag
    assert made == {"700": "calibrated", "": "extrapolated"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("FP8-dynamic", "fp8"),
        ("compressed-tensors W4A16", "w4a16"),
        ("BFloat16", "bf16"),
        ("", "bf16"),
        ("FP4", "nvfp4"),
    ],
)
def test_precisions_of_engines_are_read_as_checkpoints_write_them(written, meant):
    assert serving.canonical(written) == meant


def test_an_unknown_precision_of_an_engine_is_refused():
    with pytest.raises(ConfigError, match="No precision 'q17'"):
        serving.canonical("q17")


@pytest.mark.parametrize(("cell", "value"), [("1,024", 1024.0), ("-", None), ("N/A", None), ("1.5e3", 1500.0)])
def test_cells_are_read_as_people_write_them(cell, value):
    assert table.Line({"a": cell}, "x.csv, line 2").number("a") == value


@pytest.mark.parametrize("cell", ["24 GB", "1,2", "1e999", "two"])
def test_cells_that_are_no_number_are_named(cell):
    with pytest.raises(ConfigError, match=r"x\.csv, line 2: a is"):
        table.Line({"a": cell}, "x.csv, line 2").number("a")


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("llama3.1:8b-instruct-q4_K_M", "llama-3.1-8b"),  # Ollama's
        ("bartowski/Meta-Llama-3.1-8B-Instruct-GGUF", "llama-3.1-8b"),
        ("unsloth/gemma-3-27b-it-qat-q4_0-gguf", "gemma-3-27b"),
        ("amd/Llama-3.3-70B-Instruct-FP8-KV", "llama-3.1-70b"),
        ("Qwen/Qwen2.5-Coder-32B-Instruct", "qwen2.5-32b"),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-70B", "llama-3.1-70b"),
        ("zai-org/GLM-4.6-FP8", "glm-4.5"),
        ("ggml-org/glm-4.7-flash-gguf", "glm-4.7-flash"),
        ("meta/llama2-70b-chat", "llama-2-70b"),
        ("mistralai/Mixtral-8x22B-Instruct-v0.1", "mixtral-8x22b"),
    ],
)
def test_a_model_is_found_by_the_names_it_goes_by(name, key):
    found = naming.match(name, models.catalog())
    assert found
    assert found.shape.name == key


@pytest.mark.parametrize("name", ["llama-3.2-11b-vision", "gpt-oss", "Qwen/Qwen3-4B-Coder-X", "codellama-34b", ""])
def test_other_models_are_not_taken_for_those_of_the_catalog(name):
    assert naming.match(name, models.catalog()) is None


def test_sizes_of_experts_are_read_from_a_name():
    found = naming.sketch("somebody/Mix-8x22B")
    assert found
    assert found.params / 1e9 == pytest.approx(140.6, rel=0.03)  # Mixtral's
    assert found.active / 1e9 == pytest.approx(39.2, rel=0.03)
    assert not found.known
