"""Probes: three tools' files are read, a device is scaled by them and nothing else is; and what a file must not be."""

import json
import math
from pathlib import Path

import pytest

from trimtab.cli.app import run
from trimtab.errors import ConfigError
from trimtab.plan import choose, devices, fits, models, needs, probes, rates, refit

SAMPLES = Path(__file__).parents[1] / "data" / "probes"
LLAMA, VLLM, GUIDE = (SAMPLES / f"{name}.json" for name in ("llama_bench", "vllm_bench_serve", "guidellm"))


def test_llama_bench_is_read():
    found = probes.read(LLAMA)
    assert found.local == (
        probes.Local(reads=True, rate=7100.002165, tokens=512), probes.Local(reads=False, rate=118.881588, tokens=128),
    )  # fmt: skip
    assert (found.model, found.params) == ("qwen2 7B Q4_K - Medium", 7615616512)


def test_one_object_a_line_is_the_same(tmp_path):
    lines = tmp_path / "bench.jsonl"
    lines.write_text("\n".join(json.dumps(row) for row in json.loads(LLAMA.read_text())))
    assert probes.read(lines) == probes.read(LLAMA)


def test_vllms_requests_in_flight_follow_from_littles_law():
    (one,) = probes.read(VLLM).served
    assert (one.prompt, one.answer, one.step) == (1024, 256, 0.0156)
    assert one.batch == pytest.approx(3.88 * (0.1105 + 255 * 0.0156))
    assert one.batch < 19  # never above the most that were seen


def test_each_of_guidellms_benchmarks_is_a_run():
    few, many = probes.read(GUIDE).served
    assert (few.batch, few.step, few.first) == (8, 0.013, 0.08)
    assert (many.batch, many.prompt, many.answer) == (32, 1024, 256)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"avg_ts": 0, "n_gen": 5}', '{"mean_tpot_ms": "x"}', "[1, 2]",
     '{"benchmarks": [{"metrics": {}}]}', '[{"avg_ts": 5, "n_gen": 5, "n_prompt": 5}]', '{"benchmarks": [7]}', "\x00"],
)  # fmt: skip
def test_a_probe_that_is_none_is_refused(tmp_path, text):
    path = tmp_path / "probe.json"
    path.write_text(text)
    with pytest.raises(ConfigError):
        probes.read(path)


def test_a_device_runs_at_what_was_measured_there():
    shape, device = models.find("qwen2.5-7b").shape, devices.find("rtx-4080")
    scales = refit.scales(LLAMA, shape, device, "Q4_K_M")
    found = fits.fits(shape, (), device, fits.Asked(precision="Q4_K_M"), scales)
    assert found.figures["decode"].central == pytest.approx(118.88, rel=0.01)
    assert found.figures["prefill"].central == pytest.approx(7100, rel=0.01)
    assert found.figures["decode"].tag == found.figures["prefill"].tag == "probed"
    assert scales.of("rtx-4080", "qwen2.5-7b").decode == scales.decode
    assert scales.of("rtx-4090", "qwen2.5-7b") is refit.NONE
    other = scales.of("rtx-4080", "llama-3.1-8b")
    assert scales.decode
    assert other.decode == pytest.approx(scales.decode ** rates.trust("decode", "other"))
    assert 0 < rates.trust("decode", "other") < rates.trust("decode", "same")


def test_a_server_that_ran_another_model_is_not_scaled():
    """What rows bore out: one run of another model tells nothing of this one, so nothing is made of it."""
    shape, device = models.find("qwen3-8b").shape, devices.find("h100-sxm")
    scales = refit.scales(VLLM, shape, device, "bf16").of("h100-sxm", "llama-3.1-70b")
    assert rates.trust("step", "other") == rates.trust("first", "other") == 0
    assert (scales.step, scales.first, scales.on("step")) == (None, None, None)


def test_a_server_runs_at_what_was_measured_there():
    shape, device = models.find("qwen3-8b").shape, devices.find("h100-sxm")
    (one,) = probes.read(VLLM).served
    scales = refit.scales(VLLM, shape, device, "bf16")
    asked = fits.Asked(precision="bf16", batch=one.batch, prompt=1024, answer=256)
    found, plain = (fits.fits(shape, (), device, asked, probed).figures for probed in (scales, refit.NONE))
    for name, measured in (("a token", 15.6), ("first token", 0.1105)):
        off, before = (abs(math.log(figures[name].central / measured)) for figures in (found, plain))
        assert off < 0.3 * before, "three quarters of a server's ratio count"
    assert found["a token"].tag == "probed"
    assert found["power"].tag == "calibrated"


def test_of_several_runs_the_middle_counts():
    shape, device = models.find("qwen3-8b").shape, devices.find("h100-sxm")
    scales = refit.scales(GUIDE, shape, device, "bf16")
    alone = []
    for one in probes.read(GUIDE).served:
        asked = fits.Asked(precision="bf16", batch=one.batch, prompt=1024, answer=256)
        alone.append(one.step * 1000 / fits.fits(shape, (), device, asked).figures["a token"].central)
    assert scales.step == pytest.approx((alone[0] * alone[1]) ** 0.5, rel=1e-3)


@pytest.mark.parametrize(
    ("file", "model", "precision", "says"),
    [(LLAMA, "llama-3.1-70b", "Q4_K_M", "7.62 B"), (LLAMA, "qwen2.5-7b", "fp8", "not at fp8"),
     (VLLM, "qwen3-8b", "Q4_K_M", "a server")],
)  # fmt: skip
def test_a_probe_of_something_else_is_refused(file, model, precision, says):
    with pytest.raises(ConfigError, match=says):
        refit.scales(file, models.find(model).shape, devices.find("rtx-4080"), precision)


def test_a_plan_takes_a_probe_for_its_device_alone():
    asked = needs.made({"model": "qwen2.5-7b", "device": "rtx-4080", "requests": 1000, "private": True})
    half = refit.Scales(device="rtx-4080", model="qwen2.5-7b", decode=2.0, prefill=2.0, step=2.0, first=2.0)
    plain, slow = choose.plan(asked), choose.plan(asked, probed=half)
    assert slow.best.runtime == plain.best.runtime
    counts = rates.trust("decode" if plain.best.runtime == "llama.cpp" else "step", "same")
    assert slow.best.pace == pytest.approx(plain.best.pace / 2**counts, rel=0.05)
    assert slow.figures["pace"].tag == "probed"
    assert plain.figures["pace"].tag == "extrapolated", "no server with such a device was measured"
    edges = rates.calibration("decode").doubt.edges
    assert edges["same"][1] < edges["other"][1] < edges["device"][1]


def test_the_commands_take_a_probe(capsys):
    assert run(["plan", "fit", "qwen2.5-7b", "--on", "rtx-4080", "--probe", str(LLAMA), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["figures"]["decode"]["tag"] == "probed"
    flags = ["--device", "rtx-4080", "--probe", str(LLAMA)]
    assert run(["plan", "--where", "server", "--private", *flags]) == 2
    assert "--probed" in capsys.readouterr().err
    assert run(["plan", "--where", "server", "--private", *flags, "--probed", "qwen2.5-7b", "--json"]) == 0
    capsys.readouterr()
    assert run(["plan", "fit", "qwen3-8b", "--on", "h100-sxm", "-q", "fp8", "--batch", "16", "--probe", str(VLLM)]) == 0
    assert "probed" in capsys.readouterr().out
