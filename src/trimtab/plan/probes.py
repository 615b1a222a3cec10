"""Measurements of one's own device: the JSON of llama-bench, of `vllm bench serve` and of GuideLLM.

Formats: llama-bench -o json or jsonl (ggml-org/llama.cpp, tools/llama-bench/README.md), `--save-result` or
`--append-result` (vllm-project/vllm, vllm/benchmarks/serve.py), benchmarks.json (vllm-project/guidellm 0.3 to 0.7,
src/guidellm/benchmark/schemas).
"""

import json
import math
from pathlib import Path
from typing import Any

import msgspec

from trimtab.errors import ConfigError

MICRO = 512


class Local(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one sequence: tokens a second of `tokens` that were read (`reads`) or written after `depth` others."""

    reads: bool
    rate: float
    tokens: int
    depth: int = 0
    micro: int = MICRO
    flash: bool = True


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a server: seconds a token and to the first, means, with `batch` requests in flight on average."""

    step: float
    first: float
    batch: float
    prompt: float
    answer: float


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says, and of which model: its name there, and its parameters where they are said."""

    local: tuple[Local, ...] = ()
    served: tuple[Served, ...] = ()
    model: str = ""
    params: float = 0.0


def read(path: Path) -> Probe:
    """The probe in a file, with every run that it has.

    Raises:
        ConfigError: no file, no JSON, or none of the three formats.
    """
    found = _parsed(path)
    try:
        probe = _llama(found) or _vllm(found) or _guide(found)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ConfigError(f"{str(path)!r} lacks or garbles {error}.", "Measure again.") from error
    if probe is None:
        raise ConfigError(f"{str(path)!r} is of no benchmark that is known.", "Known: llama-bench, vLLM, GuideLLM.")
    values = [run.rate for run in probe.local] + [x for run in probe.served for x in msgspec.structs.astuple(run)]
    if not values or not all(value > 0 and math.isfinite(value) for value in values):
        raise ConfigError(f"{str(path)!r} measured nothing: a speed or a length is 0 or less.", "Measure again.")
    return probe


def _parsed(path: Path) -> list[Any]:
    """The file's objects: of an array, of one object, or of one a line."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"No file {str(path)!r}.", "Give llama-bench's output: llama-bench -o json.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{str(path)!r} cannot be read: {error}.", "llama-bench writes it with -o json.") from error
    try:
        found = json.loads(text)
        return found if isinstance(found, list) else [found]
    except ValueError as error:
        try:
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError:
            raise ConfigError(f"{str(path)!r} is no JSON: {error}.", "llama-bench writes it with -o json.") from error


def _llama(found: list[Any]) -> Probe | None:
    rows = [row for row in found if isinstance(row, dict) and "avg_ts" in row]
    if not rows:
        return None
    runs = []
    for row in rows:
        read_, wrote = int(row.get("n_prompt") or 0), int(row.get("n_gen") or 0)
        if bool(read_) != bool(wrote):  # both at once (-pg) is neither speed
            runs.append(Local(
                reads=bool(read_), rate=float(row["avg_ts"]), tokens=read_ or wrote, depth=int(row.get("n_depth") or 0),
                micro=int(row.get("n_ubatch") or MICRO), flash=row.get("flash_attn", -1) not in (0, False),
            ))  # fmt: skip
    name = str(rows[0].get("model_type") or rows[0].get("model_filename") or "")
    return Probe(local=tuple(runs), model=name, params=float(rows[0].get("model_n_params") or 0))


def _vllm(found: list[Any]) -> Probe | None:
    rows = [row for row in found if isinstance(row, dict) and "mean_tpot_ms" in row]
    if not rows:
        return None
    return Probe(served=tuple(_vllm_run(row) for row in rows), model=str(rows[0].get("model_id") or ""))


def _vllm_run(row: dict[str, Any]) -> Served:
    """Requests in flight follow from Little's law: `max_concurrency` is a limit, and is often not set."""
    count = float(row["completed"])
    prompt, answer = row["total_input_tokens"] / count, row["total_output_tokens"] / count
    step, first = float(row["mean_tpot_ms"]) / 1000, float(row["mean_ttft_ms"]) / 1000
    batch = float(row["request_throughput"]) * (first + step * max(0.0, answer - 1))
    return Served(step=step, first=first, batch=max(1.0, batch), prompt=prompt, answer=answer)


def _guide(found: list[Any]) -> Probe | None:
    runs = [run for one in found if isinstance(one, dict) for run in one.get("benchmarks") or ()]
    if not runs:
        return None
    done = [run["metrics"] for run in runs if _mean(run["metrics"], "output_token_count") > 0]
    served = tuple(
        Served(
            step=_mean(one, "inter_token_latency_ms") / 1000, first=_mean(one, "time_to_first_token_ms") / 1000,
            batch=max(1.0, _mean(one, "request_concurrency")), prompt=_mean(one, "prompt_token_count"),
            answer=_mean(one, "output_token_count"),
        ) for one in done
    )  # fmt: skip
    return Probe(served=served)


def _mean(metrics: dict[str, Any], name: str) -> float:
    """Of the requests that came to an end."""
    return float(metrics[name]["successful"]["mean"])
