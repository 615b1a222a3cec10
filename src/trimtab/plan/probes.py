"""Measurements of one's own device: the JSON of llama-bench, `vllm bench serve` and GuideLLM."""

import json
from pathlib import Path
from typing import Any

import msgspec

from trimtab.errors import ConfigError


class Probe(msgspec.Struct, frozen=True):
    """What one file says: tokens a second, decode and prefill; seconds a token and to the first; or None."""

    decode: float | None = None
    prefill: float | None = None
    prompt: int = 512
    written: int = 128
    depth: int = 0
    step: float | None = None
    first: float | None = None


def read(path: Path) -> Probe:
    """The probe in a file; of several runs the first of each sort.

    Raises:
        ConfigError: no file, no JSON, or none of the three shapes.
    """
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(f"No file {str(path)!r}.", "Give llama-bench's output: llama-bench -o json.") from error
    except (ValueError, OSError) as error:
        raise ConfigError(f"{str(path)!r} is no JSON: {error}.", "llama-bench writes it with -o json.") from error
    try:
        probe = _llama(found) or _vllm(found) or _guide(found)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ConfigError(f"{str(path)!r} lacks or garbles {error}.", "Measure again.") from error
    if probe is None:
        raise ConfigError(f"{str(path)!r} is of no benchmark that is known.", "Known: llama-bench, vLLM, GuideLLM.")
    if any(value is not None and value <= 0 for value in (probe.decode, probe.prefill, probe.step, probe.first)):
        raise ConfigError(f"{str(path)!r} measured nothing: a speed is 0 or less.", "Measure again.")
    return probe


def _llama(found: Any) -> Probe | None:
    rows = found if isinstance(found, list) else [found]
    rows = [row for row in rows if isinstance(row, dict) and "avg_ts" in row]
    if not rows:
        return None
    wrote = next((row for row in rows if row.get("n_gen") and not row.get("n_prompt")), None)
    read_ = next((row for row in rows if row.get("n_prompt") and not row.get("n_gen")), None)
    return Probe(
        decode=float(wrote["avg_ts"]) if wrote else None, prefill=float(read_["avg_ts"]) if read_ else None,
        prompt=int(read_["n_prompt"]) if read_ else 512, written=int(wrote["n_gen"]) if wrote else 128,
        depth=int(wrote.get("n_depth", 0)) if wrote else 0,
    )  # fmt: skip


def _vllm(found: Any) -> Probe | None:
    if not isinstance(found, dict) or "mean_tpot_ms" not in found:
        return None
    return Probe(step=float(found["mean_tpot_ms"]) / 1000, first=float(found["mean_ttft_ms"]) / 1000)


def _guide(found: Any) -> Probe | None:
    if not isinstance(found, dict) or not found.get("benchmarks"):
        return None
    metrics = found["benchmarks"][0]["metrics"]

    def mean(name: str) -> float:
        part = metrics[name]
        return float((part.get("successful") or part)["mean"]) / 1000

    step = "inter_token_latency_ms" if "inter_token_latency_ms" in metrics else "time_per_output_token_ms"
    return Probe(step=mean(step), first=mean("time_to_first_token_ms"))
