"""The planner against measured rows: error, coverage, intervals; beside simpler formulas and those of its peers.

    python benchmarks/planner.py --data DIR [--as-shipped | --held-out] [--parts memory local tpot ttft rest]

DIR holds csv files as in docs/reference/data.md (planner/); files that are missing are skipped, and so are rows that
cannot be read or name what nobody knows: stderr says which, and they count as not answered. Facts of new devices and
models stand in DIR's hardware.csv and models.csv. Memory is computed, so all rows count. What is calibrated is scored
in one of two ways: with the coefficients and intervals that ship; or twice on rows whose device, and whose model, no
fit had seen (8 folds by a fixed hash of the name; `plan/fit.py`), its interval made of groups that the row is not in.
Without a flag held out where rows seem to be those that the shipped coefficients were fitted on (as many, of the same
devices and models), else as shipped: nothing is then fitted on DIR. Peers: bandwidth over size; llmfit's 0.55 times
that (its docs/how-it-works.md, active parameters for mixtures of experts); whichllm 0.5.21's formula; 2 x layers x KV
heads x head width for every token. `J/token: another task` compares measured rows alone.
"""

import argparse
import hashlib
import json
import math
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from planner_floors import Row, again, seen, summary
from planner_peers import PEERS
from trimtab.errors import ConfigError
from trimtab.plan import (
    cache,
    choose,
    compute,
    doubt,
    drafting,
    fit,
    measured,
    memory,
    models,
    naming,
    needs,
    rates,
    table,
)  # fmt: skip
from trimtab.plan.architecture import Architecture
from trimtab.plan.cache import Session

HERE = Path(__file__).parent
BARS = {
    "KV + state": ">= 95 % equal", "weights": "<= 0.3 %", "weights, IQ": "<= 1 %", "compute buffer": "<= 10 %",
    "decode": "14 % / 40 %", "decode, one probe": "10 % / 30 %", "prefill": "20 %", "prefill, one probe": "15 %",
    "TPOT": "18 %", "TTFT": "45 %", "power": "10 % / 40 %", "J/token": "10 % / 40 %", "speculative": "15 %",
}  # fmt: skip
WAYS: tuple[doubt.New, ...] = ("device", "model")
PARTS = ("memory", "local", "tpot", "ttft", "rest")


def kv(data: Path) -> dict[str, Row]:
    known, _ = measured.facts(data)
    rows = list(measured.rows(data, "memory_kv_llamacpp.csv"))
    same = uniform = answered = 0
    buffers, inside = [], 0
    for row in rows:
        try:
            shape, session = _shape(row, known), _session(row)
            wanted = row.measured("kv_mib_total"), row.amount("recurrent_mib")
            computed = row.amount("compute_mib_cpu")
        except ConfigError as error:
            table.say(str(error))
            continue
        if not shape:
            continue
        ours = cache.keys_values(shape, session), cache.states(shape, session.sequences)
        answered += 1
        same += all(abs(a - b) <= 0.0101 for a, b in zip(ours, wanted, strict=True))
        plain = sum(layer.kv_heads * (layer.head_k + layer.head_v) for layer in shape.layers[:1]) * len(shape.layers)
        plain *= session.context * cache.BYTES[session.keys] / 2**20
        uniform += abs(plain - wanted[0]) <= 0.0101 and wanted[1] == 0
        if computed:
            figure = compute.buffer(shape, session)
            buffers.append(figure.central / computed - 1)
            inside += figure.low <= computed <= figure.high
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
    for row in measured.rows(data, "memory_gguf_sizes.csv"):
        if "do not score" in row["kind"] or "vLLM" in row["quant"]:
            continue
        name = "weights, IQ" if row["quant"].upper().startswith("IQ") else "weights"
        counts[name] += 1
        try:
            if shape := _shape(row, known):
                held = memory.weights(shape, row["quant"]).held.central
                errors[name].append(held / row.measured("tensor_mib") - 1)
        except ConfigError as error:
            table.say(str(error))
    return {name: summary(errors[name], count) for name, count in counts.items() if count}


def _shape(row: table.Line, known: dict[str, models.Listed]) -> Architecture | None:
    """The shape of a row's model: of one that nobody lists none, since memory is of what is known alone."""
    listed = naming.match(row["model_key"], known)
    if not listed:
        table.say(f"rows as no model {row['model_key']!r} is known: its facts can stand in models.csv.")
    return listed.shape if listed else None


def local(data: Path, test: str, shipped: bool | None) -> dict[str, Row]:
    quantity = measured.quantities(data)[test]
    samples = quantity.samples
    rows = sum(row["test"] == test and not row["anomaly"] for row in measured.rows(data, measured.LOCAL))
    if not rows:
        return {}
    errors = _errors(test, quantity, shipped)
    found = _calibrated(test, test, quantity, errors, rows) | _probed(test, test, quantity, errors, rows)
    if test == "decode":
        for name, peer in PEERS.items():
            found[f"decode: {name}"] = summary((peer(s.run) * s.measured - 1 for s in samples), rows)
    return found


def _errors(name: str, quantity: fit.Quantity, shipped: bool | None) -> dict[Any, list[float]]:
    """Of each row: as shipped, or with its device, and with its model, held out."""
    if shipped is None:
        known = _new(name, quantity).count("both known")
        shipped = known < 0.9 * len(quantity.samples) or known < 0.5 * rates.calibration(name).rows
    if not shipped:
        return dict(zip(WAYS, fit.pooled(quantity), strict=True)) if quantity.samples else {}
    given = rates.given(name)
    return {"": [math.log(quantity.formula(given, sample.run) / sample.measured) for sample in quantity.samples]}


def _new(name: str, quantity: fit.Quantity) -> list[str]:
    """Of each row, what of it is new to the shipped coefficients."""
    found = rates.calibration(name)
    words = {(True, True): "both known", (True, False): "new model", (False, True): "new device"}
    return [
        words.get((one.device in found.devices, one.model in found.models), "both new") for one in quantity.samples
    ]  # fmt: skip


def _calibrated(
    label: str, name: str, quantity: fit.Quantity, errors: dict[Any, list[float]], rows: int
) -> dict[str, Row]:  # fmt: skip
    """The scores. Each row's interval is the shipped one, or of the groups that the row is not in."""
    found = {}
    for way, ours in errors.items():
        edges = _edges(quantity, errors, way) if way else _shipped(name, quantity)
        inside = sum(_within(error, edge) for error, edge in zip(ours, edges, strict=True)) / max(1, len(ours))
        found[f"{label}, {way} held out" if way else label] = summary(map(math.expm1, ours), rows, inside)
        if not way:
            kinds = _new(name, quantity)
            for kind in sorted(set(kinds)):
                some = [math.expm1(error) for error, one in zip(ours, kinds, strict=True) if one == kind]
                found[f"{label}: {kind}"] = summary(some, len(some))
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
    return [rates.spread(name, sample.run, known=sample.known)[:2] for sample in quantity.samples]


def _probed(
    label: str, name: str, quantity: fit.Quantity, errors: dict[Any, list[float]], rows: int
) -> dict[str, Row]:  # fmt: skip
    """The scores after one row of the device, of another model or of the same one, has scaled the others; how much of
    its ratio counts is of other devices."""
    found, samples = {}, quantity.samples
    held, owned = next(iter(errors.values()), []), {sample.device for sample in samples}
    refitted = len(errors) > 1 and len(owned) > 1
    known = {
        device: _without(quantity, errors, "device", device) if refitted else rates.calibration(name).doubt
        for device in owned
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


def server(data: Path, label: str, shipped: bool | None) -> dict[str, Row]:
    name = {"TPOT": "step", "TTFT": "first"}[label]
    quantity = measured.quantities(data)[name]
    rows = len(list(measured.rows(data, measured.SERVED)))
    if not rows:
        return {}
    errors = _errors(name, quantity, shipped)
    return _calibrated(label, name, quantity, errors, rows) | _probed(label, name, quantity, errors, rows)


def powers(data: Path, shipped: bool | None) -> dict[str, Row]:
    found = measured.quantities(data)
    rows = len(list(measured.rows(data, measured.FULL)))
    if not rows:
        return {}
    watts = _errors("watts", found["watts"], shipped)
    scored = _calibrated("power", "watts", found["watts"], watts, rows)
    full = measured.full(data)  # of some the pace may be missing: joules are watts over tokens a second
    paced = msgspec.structs.replace(found["watts"], samples=[watt for watt, step, _ in full if step])
    steps = _errors("written", found["written"], shipped)
    both = {
        way: [a + b for a, b in zip((a for a, one in zip(watts[way], full, strict=True) if one[1]), steps[way],
                                    strict=True)] for way in (watts if steps else {})
    }  # fmt: skip
    scored |= _calibrated("J/token", "joules", paced, both, rows)
    floors = {} if "" in watts or not steps else seen(paced, found["written"])
    return scored | {"J/token: another task": again([row for _, _, row in full], found["watts"].samples)} | floors


def drafts(data: Path) -> dict[str, Row]:
    errors, rows = [], 0
    for row in measured.rows(data, "speculative.csv"):
        given = row["mean_tokens_per_step"] or row["accept_rate"]
        if not given or "," in row["accept_rate"] or not row["speedup"].replace(".", "", 1).isdigit():
            continue  # a rate by position, or a speed-up that is only said to be below 1
        rows += 1
        try:
            figure, faster = _drafted(row), row.measured("speedup")
        except ConfigError as error:
            table.say(str(error))
            continue
        if figure:
            errors.append(figure / faster - 1)
    return {"speculative": summary(errors, rows)} if rows else {}


def _drafted(row: table.Line) -> float | None:
    tokens, rate, drafted = row.amount("mean_tokens_per_step"), row.amount("accept_rate"), row.count("k")
    if tokens and (found := drafting.by_method(tokens, row["method"])):
        return found.central
    if not (rate and drafted):
        return None
    sizes = {"T5-small": 0.077, "T5-base": 0.25, "T5-large": 0.8, "T5-XXL 11B": 11.0}
    small = sizes.get(row["draft"]) or _billions(row["draft"])
    large = sizes.get(row["target"]) or _billions(row["target"])
    cost = drafting.cost_of(small, large) if small and large else 0.1
    return drafting.speed_up(rate, drafted, cost, row.amount("batch") or 1).central


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


def _session(row: table.Line) -> Session:
    """What a row was started with; where it says nothing llama.cpp's defaults."""
    return cache.checked(
        context=round(row.measured("n_ctx")), sequences=row.count("n_seq_max", 1), micro=row.count("n_ubatch", 512),
        keys=row["type_k"] or "f16", values=row["type_v"] or "f16", whole_window=row["swa_full"] == "1",
        flash=row["flash_attn"] != "0", unified=row["kv_unified"] == "1",
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data" / "planner")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--as-shipped", action="store_true", help="score the shipped coefficients: rows are new to them")
    way.add_argument("--held-out", action="store_true", help="fit anew without each device, and without each model")
    parser.add_argument("--parts", nargs="*", default=[], choices=PARTS, help="all, or some: kept beside the others")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "planner.json")
    asked = parser.parse_args()
    if not asked.data.is_dir():
        print(f"Skipped, planner.json left as it was: no {asked.data}")
        return
    data, shipped = asked.data, True if asked.as_shipped else False if asked.held_out else None
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
                _keep(asked.out, row_name, row, {"as_shipped": shipped, "data": _mark(data)})  # None: by quantity


def _keep(out: Path, name: str, row: Row, about: Row) -> None:
    """Put a row into the file, beside those of parts that ran before on the same data in the same way."""
    held = json.loads(out.read_bytes()) if out.exists() else {}
    machine = {"cpu": platform.machine(), "python": sys.version.split()[0]}
    rows = held["rows"] if all(held.get(key) == value for key, value in about.items()) else {}
    out.write_text(json.dumps({"machine": machine, **about, "rows": rows | {name: row}}, indent=1) + "\n")


def _mark(data: Path) -> str:
    """What tells a folder's files from those of another."""
    files = (f"{path.name} {path.stat().st_size}\n" for path in sorted(data.glob("*.csv")))
    return hashlib.sha256("".join(files).encode()).hexdigest()[:12]


def _line(name: str, row: Row) -> str:
    bar = next(
        (BARS[key] for key in sorted(BARS, key=len, reverse=True) if name.startswith(key) and ":" not in name), ""
    )
    if "equal" in row:
        return f"| {name} | {bar} | {row['rows']} | {row['answered']:.1%} | equal in {row['equal']:.1%} | | |"
    if "seconds" in row:
        return f"| {name} | < 3 | | | {row['seconds']:.2f} | | |"
    inside = f"{row['inside']:.0%}" if "inside" in row else ""
    return (f"| {name} | {bar} | {row['rows']} | {row['answered']:.1%} | {_share(row, 'median', 2)} | "
            f"{_share(row, 'p90', 1)} | {inside} |")  # fmt: skip


def _share(row: Row, name: str, digits: int) -> str:
    return f"{row[name]:.{digits}%}" if name in row else ""


if __name__ == "__main__":
    main()
