"""Measured rows of the development data's schemas, as samples for `fit` and for `benchmarks/planner.py`."""

import csv
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from trimtab.errors import ConfigError
from trimtab.plan import devices, energy, memory, models, naming, serving, speed
from trimtab.plan.architecture import Architecture
from trimtab.plan.devices import Device
from trimtab.plan.fit import Quantity, Sample
from trimtab.plan.memory import Weights
from trimtab.plan.models import Listed

FITS = 1.05
"""Rows whose weights are more than this share of the memory swap: they measure the disk."""
PROMPTS = {"gpqa": 250, "lm-arena-chat": 150, "sourcegraph-fim": 500}
"""Tokens of prompts that the energy rows do not state: a guess."""
WIDE = 16
"""Servers over so many devices split experts, and keep whole sequences on each."""


@cache
def quantities(data: Path) -> dict[str, Quantity]:
    """Everything that is calibrated."""
    step = Quantity(
        formula=serving.step, prior=lambda _: serving.STEP, samples=served(data, "tpot_ms"),
        source="serving_inferencex.csv, tpot", facts=serving.facts,
    )  # fmt: skip
    return {
        "decode": Quantity(
            formula=speed.decode, prior=lambda _: speed.DECODE, samples=local(data, "decode"),
            source="speed_local.csv, test=decode", facts=speed.facts,
        ),
        "prefill": Quantity(
            formula=speed.prefill, prior=lambda _: speed.PREFILL, samples=local(data, "prefill"),
            source="speed_local.csv, test=prefill", facts=speed.facts,
        ),
        "step": step,
        "first": Quantity(
            formula=serving.first, prior=lambda _: serving.FIRST, samples=served(data, "ttft_ms"), base=step,
            source="serving_inferencex.csv, ttft", facts=serving.facts,
        ),
        "watts": Quantity(
            formula=energy.watts, prior=lambda _: energy.WATTS, samples=powered(data),
            source="serving_energy_mlenergy.csv, avg_power_w_total", facts=serving.facts,
        ),
        "written": Quantity(
            formula=serving.step, prior=serving.written, samples=written(data), base=step,
            source="serving_energy_mlenergy.csv, avg_batch / out_tok_s", facts=serving.facts,
        ),
    }  # fmt: skip


def rows(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a csv file; none where there is no such file."""
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)


@cache
def facts(data: Path) -> tuple[dict[str, Listed], dict[str, Device]]:
    """The shipped catalogs, and over them the folder's own models.csv and hardware.csv."""
    known, owned = dict(models.catalog()), dict(devices.catalog())
    if (data / "models.csv").exists():
        known |= models.catalog(data / "models.csv")
    if (data / "hardware.csv").exists():
        owned |= {key: _filled(row, owned.get(key)) for key, row in devices.catalog(data / "hardware.csv").items()}
    return known, owned


def local(data: Path, test: str) -> list[Sample[speed.Run]]:
    """Rows of speed_local.csv that can be answered, weighed so that no device counts by its number of rows alone."""
    known, owned = facts(data)
    found = [
        sample for row in rows(data / "speed_local.csv") if row["test"] == test and not row["anomaly"]
        and (sample := _local(row, known, owned))
    ]  # fmt: skip
    return _weighed(found)


def served(data: Path, column: str, every: int = 1) -> list[Sample[serving.Load]]:
    """Rows of serving_inferencex.csv: every server under steady load; seconds."""
    known, owned = facts(data)
    found: list[Sample[serving.Load]] = []
    for row in list(rows(data / "serving_inferencex.csv"))[::every]:
        device, shape = _device(row["system"], owned), _shape(row["model"], known)
        if device and shape and float(row[column] or 0) > 0:
            found.append(Sample(_served(row, device, shape), float(row[column]) / 1000, device.id, shape.name))
    seen = Counter((sample.device, sample.model) for sample in found)
    return [msgspec.structs.replace(s, weight=10 / seen[s.device, s.model] ** 0.5) for s in found]


def powered(data: Path) -> list[Sample[serving.Load]]:
    """Rows of serving_energy_mlenergy.csv: watts of one device (vLLM)."""
    known, owned = facts(data)
    found = [
        Sample(
            _powered(row, device, shape), float(row["avg_power_w_total"]) / int(row["num_gpus"]), device.id, shape.name
        )
        for row in rows(data / "serving_energy_mlenergy.csv")
        if (device := _device(f"{row['gpu'].lower()}-sxm", owned)) and float(row["avg_power_w_total"] or 0) > 0
        and (shape := _shape(row["model"], known))
    ]  # fmt: skip
    seen = Counter((sample.device, sample.model) for sample in found)
    return [msgspec.structs.replace(s, weight=4 / seen[s.device, s.model] ** 0.5) for s in found]


def written(data: Path) -> list[Sample[serving.Load]]:
    """Rows of serving_energy_mlenergy.csv: seconds a step of a server that is kept full, prompts and host included."""
    found, table = powered(data), list(rows(data / "serving_energy_mlenergy.csv"))
    table = [row for row in table if float(row["avg_power_w_total"] or 0) > 0]
    if len(found) != len(table):
        return []  # rows of an unknown device: the two lists would not be of the same rows
    return [
        msgspec.structs.replace(sample, measured=sample.run.batch / float(row["out_tok_s"]))
        for sample, row in zip(found, table, strict=True) if float(row["out_tok_s"] or 0) > 0
    ]  # fmt: skip


def joules(data: Path) -> list[float]:
    """Relative errors of joules a token, from the shipped coefficients of power and of a step."""
    from trimtab.plan import rates

    known, owned = facts(data)
    errors = []
    for row in rows(data / "serving_energy_mlenergy.csv"):
        device, shape = _device(f"{row['gpu'].lower()}-sxm", owned), _shape(row["model"], known)
        if device and shape and float(row["j_per_token"] or 0) > 0:
            load = _powered(row, device, shape)
            errors.append(rates.joules(load).central / float(row["j_per_token"]) - 1)
    return errors


def _powered(row: dict[str, str], device: Device, shape: Architecture) -> serving.Load:
    precision, gpus = serving.canonical(row["weight_precision"]), int(row["num_gpus"])
    batch = float(row["avg_batch"] or row["max_num_seqs"])
    return serving.load(
        shape, _split(shape, precision), device, gpus=gpus, batch=batch, prompt=PROMPTS.get(row["task"], 300),
        answer=int(float(row["avg_output_len"])), precision=precision, whole_cache=int(row["dp"] or 1) > 1,
        expert_parallel=int(row["ep"] or 1) > 1,
    )  # fmt: skip


def _shape(name: str, known: dict[str, Listed]) -> Architecture | None:
    listed = naming.match(name, known)
    return listed.shape if listed else naming.sketch(name)


def _served(row: dict[str, str], device: Device, shape: Architecture) -> serving.Load:
    precision, total = row["precision"] or "bf16", float(row["concurrency"] or row["batch"] or 0)
    parts = _split(shape, serving.canonical(precision))
    least = _least(parts, device)
    lengths = {"prompt": int(row["isl"]), "answer": int(row["osl"]), "precision": precision, "engine": row["engine"]}
    gpus, replicated = _gpus(row)
    decoders = re.findall(r"(\d*)x tp(\d+) b(\d*)", row["decode"])
    if row["mode"] == "disagg" and decoders:
        readers = re.findall(r"(\d*)x tp(\d+)", row["prefill"]) or [("1", decoders[0][1])]
        servers, gpus, each = (int(n or 0) for n in decoders[0])
        gpus, total = max(gpus, least), total or float(servers * each)
        return serving.load(
            shape, parts, device, gpus=gpus, batch=max(1.0, total / max(1, servers)), apart=True,
            readers=int(readers[0][0] or 1), counted=servers > 0, reader_gpus=max(int(readers[0][1]), least),
            total=total, whole_cache=gpus >= WIDE, **lengths,
        )  # type: ignore[arg-type]  # fmt: skip
    if gpus > 8 and gpus & (gpus - 1):  # nothing is split so many ways: these are all devices of a system in parts
        return serving.load(
            shape, parts, device, gpus=gpus, batch=total, apart=True, counted=False, whole_cache=True, **lengths
        )  # type: ignore[arg-type]  # fmt: skip
    return serving.load(
        shape, parts, device, gpus=max(gpus, least), batch=total, whole_cache=replicated, **lengths
    )  # type: ignore[arg-type]  # fmt: skip


def _least(parts: serving.Split, device: Device) -> int:
    """Devices that the weights need at the least, a power of two: rows of servers with data-parallel attention name
    the devices of one copy of it, as few as one."""
    need = (parts.routed + parts.other) * 1e9 / 2**20 / (device.memory * 0.9)
    return 1 << max(0, math.ceil(math.log2(max(need, 1e-9))))


def _gpus(row: dict[str, str]) -> tuple[int, bool]:
    """Devices of a server, and whether attention is data-parallel over them. Where experts are split both ways equally,
    the file multiplies the same devices twice."""
    tp, dp = int(row["tp"] or 1), int(row["dp_attn"] or 1)
    moe_tp, moe_ep = int(row["moe_tp"] or 1), int(row["moe_ep"] or 1)
    if moe_tp == moe_ep > 1 and moe_tp * moe_ep == tp * dp:
        return moe_tp, dp > 1
    return (tp if tp > 1 else dp), dp > 1


def _device(name: str, owned: dict[str, Device]) -> Device | None:
    wanted = name.replace("_", "-").lower()
    near = (wanted, f"{wanted}-sxm", wanted.removesuffix("-sxm"))
    return next((owned[key] for key in near if key in owned), None)


@cache
def _split(shape: Architecture, precision: str) -> serving.Split:
    return serving.split(shape, precision)


def _local(row: dict[str, str], known: dict[str, Listed], owned: dict[str, Device]) -> Sample[speed.Run] | None:
    device, shape = owned.get(row["hw_id"]), _named(row, known)
    weights = _weights(shape, row["quant"]) if shape else None
    if not device or not shape or not weights:
        return None
    gpus = int(row["n_gpu"] or 1)
    if weights.held.central > device.usable * FITS * gpus:
        return None
    ollama = row["engine"] == "ollama"
    run = speed.run(
        shape, weights, device, row["quant"], depth=int(row["depth"] or 0), tokens=int(row["n_tokens"] or 128),
        prompts=int(row["batch"] or 1), gpus=gpus, flash=row["flash_attn"] in ("1", "True") or ollama, ollama=ollama,
        on_cpu=row["backend"].lower() == "cpu", micro=2048 if "llama.cpp benches" in row["source"] else speed.MICRO,
    )  # fmt: skip
    return Sample(run, 1 / float(row["tok_s"]), device.id, shape.name)


def _named(row: dict[str, str], known: dict[str, Listed]) -> Architecture | None:
    """The shape of a row: by its key, else by what the file called it, else sketched from sizes in that name."""
    if row["model_key"] in known:
        return known[row["model_key"]].shape
    return _shape(row["model_key"] or row["model_raw"].split("|")[-1].strip(), known)


def _weights(shape: Architecture, precision: str) -> Weights | None:
    try:
        return _known_weights(shape.name, precision, lambda: memory.weights(shape, precision))
    except ConfigError:
        return None


_KEPT: dict[tuple[str, str], Weights] = {}


def _known_weights(name: str, precision: str, make: Callable[[], Weights]) -> Weights:
    if (name, precision) not in _KEPT:
        _KEPT[name, precision] = make()
    return _KEPT[name, precision]


def _weighed(samples: list[Sample[Any]]) -> list[Sample[Any]]:
    devices_seen = Counter(sample.device for sample in samples)
    alike = Counter((sample.device, sample.model, sample.run.gpus) for sample in samples)
    return [
        msgspec.structs.replace(sample, weight=4 / (
            devices_seen[sample.device] * alike[sample.device, sample.model, sample.run.gpus]) ** 0.5)
        for sample in samples
    ]  # fmt: skip


def _filled(row: Device, known: Device | None) -> Device:
    """What a file leaves open is taken from the shipped row of the same id."""
    if known and row.tflops == row.bandwidth / 30:
        return msgspec.structs.replace(row, tflops=known.tflops, tops=known.tops)
    return row
