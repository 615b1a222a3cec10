"""Measured rows of the development data's schemas, as samples for `fit` and for `benchmarks/planner.py`.

A row that names a device, a model or a precision that nobody knows, or has a cell that cannot be read, is left out, and
a word on stderr says so.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from trimtab.errors import ConfigError
from trimtab.plan import devices, energy, memory, models, naming, serving, speed, table
from trimtab.plan.architecture import MIB, Architecture
from trimtab.plan.devices import Device
from trimtab.plan.figure import Figure
from trimtab.plan.fit import Quantity, Sample
from trimtab.plan.memory import Weights
from trimtab.plan.models import Listed
from trimtab.plan.table import Line

FITS = 1.05
"""Rows whose weights are more than this share of the memory swap: they measure the disk."""
PROMPTS = {"gpqa": 250, "lm-arena-chat": 150, "sourcegraph-fim": 500}
"""Tokens of prompts that the energy rows do not state: a guess."""
WIDE = 16
"""Servers over so many devices split experts, and keep whole sequences on each."""
LOCAL, SERVED, FULL = "speed_local.csv", "serving_inferencex.csv", "serving_energy_mlenergy.csv"
NEEDED = {
    LOCAL: ("hw_id", "test", "tok_s"), SERVED: ("model", "system", "isl", "osl"),
    FULL: ("model", "gpu", "avg_power_w_total"), "memory_kv_llamacpp.csv": ("model_key", "n_ctx", "kv_mib_total"),
    "memory_gguf_sizes.csv": ("model_key", "quant", "tensor_mib"), "speculative.csv": ("speedup",),
}  # fmt: skip
"""Columns without which nothing is predicted or compared; any other may be missing."""
STATED = "the size that was stated"
YES = ("1", "1.0", "true", "yes", "on")


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


def rows(data: Path, name: str) -> Iterator[Line]:
    """The rows of one of the folder's files; none where there is no such file, or where it cannot be read (said)."""
    if not (data / name).exists():
        table.say(f"there is no {name}.")
    return iter(table.each(data / name, NEEDED[name], lambda row: row))


@cache
def facts(data: Path) -> tuple[dict[str, Listed], dict[str, Device]]:
    """The shipped catalogs, and over them the folder's own models.csv and hardware.csv."""
    known, owned = dict(models.catalog()), dict(devices.catalog())
    known |= {one.shape.name: one for one in table.each(data / "models.csv", models.NEEDED, models.read)}
    listed = table.each(data / "hardware.csv", devices.NEEDED, devices.read)
    return known, owned | {row.id: _filled(row, owned.get(row.id)) for row in listed}


def local(data: Path, test: str) -> list[Sample[speed.Run]]:
    """Rows of speed_local.csv that can be answered, weighed so that no device counts by its number of rows alone."""
    known, owned = facts(data)

    def sample(row: Line) -> Sample[speed.Run] | None:
        return _local(row, known, owned) if row["test"] == test and not row["anomaly"] else None

    return _weighed(table.each(data / LOCAL, NEEDED[LOCAL], sample))


def served(data: Path, column: str) -> list[Sample[serving.Load]]:
    """Rows of serving_inferencex.csv: every server under steady load; seconds."""
    known, owned = facts(data)

    def sample(row: Line) -> Sample[serving.Load] | None:
        device, shape = _device(row, "system", owned), _shape(row, "model", known)
        if not device or not shape or row.number(column) is None:
            return None
        return _sample(_served(row, device, shape), row.measured(column) / 1000, shape)

    found = table.each(data / SERVED, (*NEEDED[SERVED], column), sample)
    seen = Counter((sample.device, sample.model) for sample in found)
    return [msgspec.structs.replace(s, weight=10 / seen[s.device, s.model] ** 0.5) for s in found]


def powered(data: Path) -> list[Sample[serving.Load]]:
    """Rows of serving_energy_mlenergy.csv: watts of one device (vLLM)."""
    return [watts for watts, _, _ in full(data)]


def written(data: Path) -> list[Sample[serving.Load]]:
    """Of the same rows: seconds a step of a server that is kept full, prompts and host included."""
    return [step for _, step, _ in full(data) if step]


Both = tuple[Sample[serving.Load], Sample[serving.Load] | None, Line]


@cache
def full(data: Path) -> list[Both]:
    """Watts of one device, seconds a step where the row says them, and the row itself."""
    known, owned = facts(data)
    found = table.each(data / FULL, NEEDED[FULL], lambda row: _both(row, known, owned))
    seen = Counter((watts.device, watts.model) for watts, _, _ in found)

    def weighed(sample: Sample[serving.Load]) -> Sample[serving.Load]:
        return msgspec.structs.replace(sample, weight=4 / seen[sample.device, sample.model] ** 0.5)

    return [(weighed(watts), step and weighed(step), row) for watts, step, row in found]


def _both(row: Line, known: dict[str, Listed], owned: dict[str, Device]) -> Both | None:
    device, shape = _device(row, "gpu", owned, "-sxm"), _shape(row, "model", known)
    if not device or not shape:
        return None
    load = _powered(row, device, shape)
    watts = _sample(load, row.measured("avg_power_w_total") / load.gpus, shape)
    pace = row.number("out_tok_s")
    return watts, _sample(load, load.batch / row.measured("out_tok_s"), shape) if pace else None, row


def _powered(row: Line, device: Device, shape: Architecture) -> serving.Load:
    precision = serving.canonical(row["weight_precision"])
    batch = row.amount("avg_batch") or row.measured("max_num_seqs")
    return serving.load(
        shape, _split(shape, precision), device, gpus=row.count("num_gpus", 1), batch=batch,
        prompt=PROMPTS.get(row["task"], 300), answer=row.count("avg_output_len", 300), precision=precision,
        whole_cache=row.count("dp", 1) > 1, expert_parallel=row.count("ep", 1) > 1,
    )  # fmt: skip


def _served(row: Line, device: Device, shape: Architecture) -> serving.Load:
    precision, total = serving.canonical(row["precision"]), row.amount("concurrency") or row.amount("batch")
    parts = _split(shape, precision)
    least = _least(parts, device)
    lengths = {
        "prompt": round(row.measured("isl")),
        "answer": round(row.measured("osl")),
        "precision": precision,
        "engine": row["engine"],
    }
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
    total = total or row.measured("concurrency")
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
    if not device.memory:
        return 1
    need = (parts.routed + parts.other) * 1e9 / MIB / (device.memory * 0.9)
    return 1 << max(0, math.ceil(math.log2(max(need, 1e-9))))


def _gpus(row: Line) -> tuple[int, bool]:
    """Devices of a server, and whether attention is data-parallel over them. Where experts are split both ways equally,
    the file multiplies the same devices twice."""
    tp, dp, moe_tp, moe_ep = (row.count(name, 1) for name in ("tp", "dp_attn", "moe_tp", "moe_ep"))
    if moe_tp == moe_ep > 1 and moe_tp * moe_ep == tp * dp:
        return moe_tp, dp > 1
    return (tp if tp > 1 else dp), dp > 1


def _device(row: Line, column: str, owned: dict[str, Device], also: str = "") -> Device | None:
    name = row[column]
    found = devices.match(name, owned) or (devices.match(name + also, owned) if also else None)
    if not found:
        _unknown(row, f"no device {name!r} is known: its facts can stand in hardware.csv")
    return found


def _shape(row: Line, column: str, known: dict[str, Listed]) -> Architecture | None:
    listed = naming.match(row[column], known)
    found = listed.shape if listed else naming.sketch(row[column])
    if not found:
        _unknown(row, f"no model {row[column]!r} is known, nor a size in its name: its facts can stand in models.csv")
    return found


def _unknown(row: Line, words: str) -> None:
    table.say(f"{row.place.split(',')[0]}, rows as {words}.")


@cache
def _split(shape: Architecture, precision: str) -> serving.Split:
    return serving.split(shape, precision)


def _local(row: Line, known: dict[str, Listed], owned: dict[str, Device]) -> Sample[speed.Run] | None:
    device, shape = _device(row, "hw_id", owned), _named(row, known)
    weights = _weighing(row, shape) if shape else None
    if not device or not shape or not weights:
        return None
    gpus = row.count("n_gpu", 1)
    if device.usable and weights.held.central > device.usable * FITS * gpus:
        _unknown(row, f"{shape.name} {row['quant']} does not fit {gpus} x {device.id}: they measure the disk")
        return None
    ollama = row["engine"].lower() == "ollama"
    run = speed.run(
        shape, weights, device, row["quant"], depth=row.count("depth"), tokens=row.count("n_tokens", 128),
        prompts=row.count("batch", 1), gpus=gpus, flash=row["flash_attn"].lower() in YES or ollama, ollama=ollama,
        on_cpu=row["backend"].lower() == "cpu", micro=2048 if "llama.cpp benches" in row["source"] else speed.MICRO,
    )  # fmt: skip
    found = _sample(run, 1 / row.measured("tok_s"), shape)
    stated = weights.held.why == STATED  # of such a mixture the kernels are not known: it is scored and teaches nothing
    return msgspec.structs.replace(found, weight=0.0) if stated else found


def _sample(run: Any, value: float, shape: Architecture) -> Sample[Any]:
    return Sample(run, value, run.device.id, shape.name, known=shape.known)


def _named(row: Line, known: dict[str, Listed]) -> Architecture | None:
    """The shape of a row: by its key, else by what the file called it, else sketched from sizes in those names."""
    names = [name for name in (row["model_key"], *reversed(row["model_raw"].split("|"))) if name.strip()]
    if listed := next((found for name in names if (found := naming.match(name, known))), None):
        return listed.shape
    found = next((shape for name in names if (shape := naming.sketch(name))), None)
    if not found:
        said = " | ".join(names)
        _unknown(row, f"no model {said!r} is known, nor a size in its name: its facts can stand in models.csv")
    return found


def _weighing(row: Line, shape: Architecture) -> Weights | None:
    """Bytes by the precision; where that is none that is known, by the size of the file or its bits a weight."""
    if found := _weights(shape, row["quant"]):
        return found
    bits = re.search(r"(\d+(?:\.\d+)?) ?bpw", f"{row['quant']} {row['model_raw']}".lower())
    held = row.amount("weights_mib") or row.amount("size_gib") * 1024
    held = held or (float(bits[1]) / 8 * shape.params / MIB if bits else 0.0)
    if not held:
        _unknown(row, f"nothing says how large {shape.name} is at {row['quant']!r}")
        return None
    read = row.amount("decode_read_mib") or held * (shape.active or shape.params) / shape.params
    return Weights(Figure(held, held, held, "MiB", "extrapolated", STATED), read)


@cache
def _weights(shape: Architecture, precision: str) -> Weights | None:
    try:
        return memory.weights(shape, precision)
    except ConfigError:
        return None


def _weighed(samples: list[Sample[Any]]) -> list[Sample[Any]]:
    teach = [sample for sample in samples if sample.weight]
    devices_seen = Counter(sample.device for sample in teach)
    alike = Counter((sample.device, sample.model, sample.run.gpus) for sample in teach)
    return [
        msgspec.structs.replace(sample, weight=4 / (
            devices_seen[sample.device] * alike[sample.device, sample.model, sample.run.gpus]) ** 0.5)
        if sample.weight else sample for sample in samples
    ]  # fmt: skip


def _filled(row: Device, known: Device | None) -> Device:
    """What a file leaves open is taken from the shipped row of the same id."""
    if not known:
        return row
    found: dict[str, Any] = {}
    if not row.rated:
        found |= {"bandwidth": known.bandwidth, "rated": known.rated}
    if not row.counted:
        found |= {"tflops": known.tflops, "tops": known.tops, "counted": known.counted}
    if not row.memory:
        found |= {"memory": known.memory, "usable": known.usable}
    return msgspec.structs.replace(row, watts=row.watts or known.watts, kind=row.kind or known.kind, **found)
