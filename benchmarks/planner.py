"""The planner against measured rows: error, coverage, intervals; beside simpler formulas and those of its peers.

    python benchmarks/planner.py --data DIR [--as-shipped] [--parts memory local tpot ttft rest] [--out FILE]

DIR holds csv files as in docs/reference/data.md (planner/); those that are missing are skipped. Memory is computed, so
all rows count. What is calibrated is scored twice on rows whose device, and whose model, no fit had seen (8 folds by a
fixed hash of the name; `plan/fit.py`), its interval made of groups that the row is not in; with --as-shipped instead
once, with the shipped coefficients and intervals: for rows that they were not fitted on. Peers: bandwidth over size;
llmfit's 0.55 times that (its docs/how-it-works.md, active parameters for mixtures of experts); whichllm 0.5.21's
formula; 2 x layers x KV heads x head width for every token. `J/token: another task` compares measured rows alone.
"""

import argparse
import json
import math
import platform
import sys
import time
from collections.abc import Callable, Iterable
from itertools import combinations
from pathlib import Path
from typing import Any

from trimtab.errors import ConfigError
from trimtab.plan import cache, choose, compute, doubt, drafting, fit, measured, memory, naming, needs, rates, speed
from trimtab.plan.cache import Session

HERE = Path(__file__).parent
BARS = {
    "KV + state": ">= 95 % equal", "weights": "<= 0.3 %", "weights, IQ": "<= 1 %", "compute buffer": "<= 10 %",
    "decode": "14 % / 40 %", "decode, one probe": "10 % / 30 %", "prefill": "20 %", "prefill, one probe": "15 %",
    "TPOT": "18 %", "TTFT": "45 %", "power": "10 % / 40 %", "J/token": "10 % / 40 %", "speculative": "15 %",
}  # fmt: skip
WHICHLLM = {"F16": 0.40, "BF16": 0.40, "Q8_0": 0.45, "Q6_K": 0.50, "Q5_K_M": 0.52, "Q4_K_M": 0.55, "Q4_K_S": 0.55,
            "Q4_0": 0.53, "MXFP4": 0.55, "NVFP4": 0.56, "IQ4_XS": 0.52, "Q3_K_M": 0.50}  # fmt: skip
VENDOR = {"nvidia": 1.0, "amd": 0.78, "apple": 0.82, "intel": 0.65}
WAYS: tuple[doubt.New, ...] = ("device", "model")
PARTS = ("memory", "local", "tpot", "ttft", "rest")
Row = dict[str, Any]


def summary(errors: Iterable[float], rows: int, inside: float | None = None) -> Row:
    """Of relative errors (0.1 is 10 %): median, p90, share answered, share within the interval."""
    ordered = sorted(abs(error) for error in errors)
    if not ordered:
        return {"rows": rows, "answered": 0.0}
    found: Row = {
        "rows": rows, "answered": round(len(ordered) / rows, 4), "median": round(fit.quantile(ordered, 0.5), 4),
        "p90": round(fit.quantile(ordered, 0.9), 4),
    }  # fmt: skip
    return found | ({"inside": round(inside, 3)} if inside is not None else {})


def kv(data: Path) -> dict[str, Row]:
    known, _ = measured.facts(data)
    rows = list(measured.rows(data / "memory_kv_llamacpp.csv"))
    same = uniform = answered = 0
    buffers, inside = [], 0
    for row in rows:
        if row["model_key"] not in known:
            continue
        shape, session = known[row["model_key"]].shape, _session(row)
        ours = cache.keys_values(shape, session), cache.states(shape, session.sequences)
        wanted = float(row["kv_mib_total"]), float(row["recurrent_mib"] or 0)
        answered += 1
        same += all(abs(a - b) <= 0.0101 for a, b in zip(ours, wanted, strict=True))
        plain = sum(layer.kv_heads * (layer.head_k + layer.head_v) for layer in shape.layers[:1]) * len(shape.layers)
        plain *= session.context * cache.BYTES[session.keys] / 2**20
        uniform += abs(plain - wanted[0]) <= 0.0101 and wanted[1] == 0
        if row["compute_mib_cpu"]:
            figure = compute.buffer(shape, session)
            buffers.append(figure.central / float(row["compute_mib_cpu"]) - 1)
            inside += figure.low <= float(row["compute_mib_cpu"]) <= figure.high
    if not rows:
        return {}
    share = {"rows": len(rows), "answered": round(answered / len(rows), 4), "equal": round(same / len(rows), 4)}
    peer = {"rows": len(rows), "answered": 1.0, "equal": round(uniform / len(rows), 4)}
    return {
        "KV + state": share, "KV + state: uniform rule": peer,
        "compute buffer": summary(buffers, len(buffers), inside / max(1, len(buffers))),
    }  # fmt: skip


def sizes(data: Path) -> dict[str, Row]:
    known, _ = measured.facts(data)
    errors: dict[Any, list[float]] = {"weights": [], "weights, IQ": []}
    counts = dict.fromkeys(errors, 0)
    for row in measured.rows(data / "memory_gguf_sizes.csv"):
        if "do not score" in row["kind"] or "vLLM" in row["quant"]:
            continue
        name = "weights, IQ" if row["quant"].upper().startswith("IQ") else "weights"
        counts[name] += 1
        listed = known.get(row["model_key"])
        try:
            held = memory.weights(listed.shape, row["quant"]).held.central if listed else None
        except ConfigError:
            held = None
        if held is not None:
            errors[name].append(held / float(row["tensor_mib"]) - 1)
    return {name: summary(errors[name], count) for name, count in counts.items() if count}


def local(data: Path, test: str, shipped: bool) -> dict[str, Row]:
    quantity = measured.quantities(data)[test]
    samples = quantity.samples
    rows = sum(row["test"] == test and not row["anomaly"] for row in measured.rows(data / "speed_local.csv"))
    errors = _errors(test, quantity, shipped)
    found = _calibrated(test, test, quantity, errors, rows) | _probed(test, test, quantity, errors, rows)
    if test == "decode":
        for name, peer in PEERS.items():
            found[f"decode: {name}"] = summary((peer(s.run) * s.measured - 1 for s in samples), rows)
    return found


def _errors(name: str, quantity: fit.Quantity, shipped: bool) -> dict[Any, list[float]]:
    """Of each row: as shipped, or with its device, and with its model, held out."""
    if not shipped:
        return dict(zip(WAYS, fit.pooled(quantity), strict=True)) if quantity.samples else {}
    given = rates.given(name)
    return {"": [math.log(quantity.formula(given, sample.run) / sample.measured) for sample in quantity.samples]}


def _calibrated(
    label: str, name: str, quantity: fit.Quantity, errors: dict[Any, list[float]], rows: int
) -> dict[str, Row]:  # fmt: skip
    """The scores. Each row's interval is the shipped one, or of the groups that the row is not in."""
    found = {}
    for way, ours in errors.items():
        edges = _edges(quantity, errors, way) if way else _shipped(name, quantity)
        inside = sum(_within(error, edge) for error, edge in zip(ours, edges, strict=True)) / max(1, len(ours))
        found[f"{label}, {way} held out" if way else label] = summary(map(math.expm1, ours), rows, inside)
    return found


def _edges(quantity: fit.Quantity, errors: dict[Any, list[float]], way: doubt.New) -> list[tuple[float, float]]:
    """For each row the interval from rows of other groups, held out in the same way."""
    groups = [getattr(sample, way) for sample in quantity.samples]
    known = {group: _without(quantity, errors, way, group) for group in set(groups)} if len(set(groups)) > 1 else {}
    return [
        known[group].factors(quantity.facts(sample.run), way) if known else (0.0, math.inf)
        for group, sample in zip(groups, quantity.samples, strict=True)
    ]  # fmt: skip


def _shipped(name: str, quantity: fit.Quantity) -> list[tuple[float, float]]:
    found = rates.calibration(name)
    return [
        found.doubt.factors(quantity.facts(sample.run), "model" if sample.device in found.devices else "device")
        for sample in quantity.samples
    ]  # fmt: skip


def _probed(
    label: str, name: str, quantity: fit.Quantity, errors: dict[Any, list[float]], rows: int
) -> dict[str, Row]:  # fmt: skip
    """The scores after one row of the device, of another model or of the same one, has scaled the others; how much of
    its ratio counts is of other devices."""
    found, samples = {}, quantity.samples
    ways, held = len(errors) > 1, next(iter(errors.values()), [])
    known = {
        device: _without(quantity, errors, "device", device) if ways else rates.calibration(name).doubt
        for device in {sample.device for sample in samples}
    }  # fmt: skip
    for new in fit.PROBED:
        left, inside = [], 0
        for index, probe in doubt.paired(fit.alike(samples, new)):
            given = known[samples[index].device]
            left.append(held[index] - given.trust[new] * held[probe])
            inside += _within(left[-1], given.factors(quantity.facts(samples[index].run), new))
        words = " of the same model" if new == "same" else ""
        found[f"{label}, one probe{words}"] = summary(map(math.expm1, left), rows, inside / max(1, len(left)))
    return found if samples else {}


def _without(quantity: fit.Quantity, errors: dict[Any, list[float]], way: str, group: str) -> doubt.Doubt:
    both = errors["device"], errors["model"]
    return fit.doubts(quantity, both, lambda sample: getattr(sample, way) != group)


def _within(error: float, interval: tuple[float, float]) -> bool:
    return interval[0] <= math.exp(-error) <= interval[1]


def server(data: Path, label: str, shipped: bool) -> dict[str, Row]:
    name = {"TPOT": "step", "TTFT": "first"}[label]
    quantity = measured.quantities(data)[name]
    rows = len(list(measured.rows(data / "serving_inferencex.csv")))
    errors = _errors(name, quantity, shipped)
    return _calibrated(label, name, quantity, errors, rows) | _probed(label, name, quantity, errors, rows)


def powers(data: Path, shipped: bool) -> dict[str, Row]:
    found = measured.quantities(data)
    table = list(measured.rows(data / "serving_energy_mlenergy.csv"))
    rows = len(table)
    watts = _errors("watts", found["watts"], shipped)
    scored = _calibrated("power", "watts", found["watts"], watts, rows)
    if len(found["watts"].samples) != len(found["written"].samples):
        return scored
    steps = _errors("written", found["written"], shipped)
    both = {way: [a + b for a, b in zip(watts[way], steps[way], strict=True)] for way in watts}
    scored |= _calibrated("J/token", "joules", found["watts"], both, rows)  # watts over tokens a second
    floors = {} if shipped else _seen(found["watts"], found["written"])
    return scored | {"J/token: another task": _again(table, found["watts"].samples)} | floors


def _seen(power: fit.Quantity, step: fit.Quantity) -> dict[str, Row]:
    """Errors on the rows that were fitted themselves, and with a free level for each model, or for each model on each
    device, over that: what no formula that has to guess those can reach. Floors, not scores."""
    watts, steps = (
        [math.log(one.formula(given, sample.run) / sample.measured) for sample in one.samples]
        for one in (power, step) for given in (fit.coefficients(one, fit.ENOUGH),)
    )  # fmt: skip
    both, found, rows = [a + b for a, b in zip(watts, steps, strict=True)], {}, len(watts)
    keys: dict[str, Callable[[fit.Sample[Any]], Any]] = {
        ", a level a model": lambda one: one.model, ", a level a model and device": lambda one: (one.model, one.device),
    }  # fmt: skip
    for label, errors in (("power", watts), ("J/token", both)):
        found[f"{label}: fitted on itself"] = summary(map(math.expm1, errors), rows)
        for words, key in keys.items():
            levels: dict[Any, list[float]] = {}
            for error, sample in zip(errors, power.samples, strict=True):
                levels.setdefault(key(sample), []).append(error)
            middle = {name: fit.quantile(sorted(some), 0.5) for name, some in levels.items()}
            left = (error - middle[key(one)] for error, one in zip(errors, power.samples, strict=True))
            found[f"{label}: fitted on itself{words}"] = summary(map(math.expm1, left), rows)
    return found


def _again(table: list[Row], samples: list[fit.Sample[Any]]) -> Row:
    """How far apart the same model is on the same devices at the same largest batch, asked another task: a floor."""
    alike: dict[tuple[Any, ...], list[Row]] = {}
    for row, sample in zip(table, samples, strict=True):
        key = (sample.device, sample.model, sample.run.gpus, sample.run.precision, row["max_num_seqs"])
        alike.setdefault(key, []).append(row)
    pairs = [pair for group in alike.values() for pair in combinations(group, 2) if pair[0]["task"] != pair[1]["task"]]
    return summary((float(a["j_per_token"]) / float(b["j_per_token"]) - 1 for a, b in pairs), len(pairs))


def drafts(data: Path) -> dict[str, Row]:
    errors, rows = [], 0
    for row in measured.rows(data / "speculative.csv"):
        given = row["mean_tokens_per_step"] or row["accept_rate"]
        if not given or "," in row["accept_rate"] or not row["speedup"].replace(".", "", 1).isdigit():
            continue  # a rate by position, or a speed-up that is only said to be below 1
        rows += 1
        figure = _drafted(row)
        if figure:
            errors.append(figure / float(row["speedup"]) - 1)
    return {"speculative": summary(errors, rows)} if rows else {}


def _drafted(row: dict[str, str]) -> float | None:
    if row["mean_tokens_per_step"] and (found := drafting.by_method(float(row["mean_tokens_per_step"]), row["method"])):
        return found.central
    if not (row["accept_rate"] and row["k"]):
        return None
    sizes = {"T5-small": 0.077, "T5-base": 0.25, "T5-large": 0.8, "T5-XXL 11B": 11.0}
    small = sizes.get(row["draft"]) or _billions(row["draft"])
    large = sizes.get(row["target"]) or _billions(row["target"])
    cost = drafting.cost_of(small, large) if small and large else 0.1
    return drafting.speed_up(float(row["accept_rate"]), int(row["k"]), cost, float(row["batch"] or 1)).central


def _billions(name: str) -> float:
    shape = naming.sketch(name)
    return shape.active / 1e9 if shape else 0.0


def whole() -> dict[str, Row]:
    """A full plan over the catalog: seconds on this machine, the best of three."""
    best = min(_timed() for _ in range(3))
    return {"a full plan, s": {"rows": 1, "answered": 1.0, "seconds": round(best, 2)}}


def _timed() -> float:
    began = time.process_time()
    choose.plan(needs.made({"quality": 60, "requests": 1_000_000, "first_p95": 5}))
    return time.process_time() - began


def _session(row: dict[str, str]) -> Session:
    return Session(
        context=int(row["n_ctx"]), sequences=int(row["n_seq_max"]), micro=int(row["n_ubatch"]), keys=row["type_k"],
        values=row["type_v"], whole_window=row["swa_full"] == "1", flash=row["flash_attn"] != "0",
        unified=row["kv_unified"] == "1",
    )  # fmt: skip


def _active(run: speed.Run) -> float:
    """GB of active weights at the file's mean bits, as peers reckon mixtures of experts."""
    return run.held * min(1.0, run.active / max(run.params, 1e-9)) if run.experts else run.held


def _whichllm(run: speed.Run) -> float:
    bandwidth = run.device.bandwidth
    floor = min(0.25, 0.05 * max(1.0, bandwidth / 256))
    read = run.held * (min(1.0, max(run.active / max(run.params, 1e-9), floor)) if run.experts else 1.0)
    share = WHICHLLM.get(run.precision.upper(), 0.45)
    if run.on_cpu:
        return max(0.3, 18.0 / max(run.active, 0.5) * share / 0.45)
    return bandwidth / read * share * VENDOR.get(run.device.maker, 0.7)


PEERS: dict[str, Callable[[speed.Run], float]] = {
    "bandwidth/size": lambda run: run.device.bandwidth / run.held,
    "llmfit": lambda run: 0.55 * run.device.bandwidth / _active(run),
    "whichllm": _whichllm,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data" / "planner")
    parser.add_argument(
        "--as-shipped", action="store_true", help="score the shipped coefficients: rows are new to them"
    )
    parser.add_argument("--parts", nargs="*", default=[], choices=PARTS, help="all, or some: kept beside the others")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "planner.json")
    asked = parser.parse_args()
    if not asked.data.is_dir():
        print(f"Skipped, planner.json left as it was: no {asked.data}")
        return
    data, shipped = asked.data, asked.as_shipped
    print("| quantity | bar | rows | answered | median | p90 | in the 80 % interval |\n|---|---|---|---|---|---|---|")
    parts: dict[str, tuple[Callable[[], dict[str, Row]], ...]] = {
        "memory": (lambda: kv(data), lambda: sizes(data)),
        "local": (lambda: local(data, "decode", shipped), lambda: local(data, "prefill", shipped)),
        "tpot": (lambda: server(data, "TPOT", shipped),), "ttft": (lambda: server(data, "TTFT", shipped),),
        "rest": (lambda: powers(data, shipped), lambda: drafts(data), whole),
    }  # fmt: skip
    for name in asked.parts or parts:
        for part in parts[name]:
            for row_name, row in part().items():
                print(_line(row_name, row), flush=True)
                _keep(asked.out, row_name, row, shipped)


def _keep(out: Path, name: str, row: Row, shipped: bool) -> None:
    """Put a row into the file, beside those of parts that ran before."""
    held = json.loads(out.read_bytes()) if out.exists() else {"rows": {}}
    machine = {"cpu": platform.machine(), "python": sys.version.split()[0]}
    rows = held["rows"] | {name: row} if held.get("as_shipped", shipped) == shipped else {name: row}
    out.write_text(json.dumps({"machine": machine, "as_shipped": shipped, "rows": rows}, indent=1) + "\n")


def _line(name: str, row: Row) -> str:
    bar = next(
        (BARS[key] for key in sorted(BARS, key=len, reverse=True) if name.startswith(key) and ":" not in name), ""
    )
    if "equal" in row:
        return f"| {name} | {bar} | {row['rows']} | {row['answered']:.1%} | equal in {row['equal']:.1%} | | |"
    if "seconds" in row:
        return f"| {name} | < 3 | | | {row['seconds']:.2f} | | |"
    inside = f"{row['inside']:.0%}" if "inside" in row else ""
    return (f"| {name} | {bar} | {row['rows']} | {row['answered']:.1%} | {row.get('median', math.nan):.2%} | "
            f"{row.get('p90', math.nan):.1%} | {inside} |")  # fmt: skip


if __name__ == "__main__":
    main()
