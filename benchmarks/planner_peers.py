"""Speed of one sequence as others reckon it: tokens a second, from the same facts as `planner.py`'s rows."""

from collections.abc import Callable

from trimtab.plan import speed

WHICHLLM = {"F16": 0.40, "BF16": 0.40, "Q8_0": 0.45, "Q6_K": 0.50, "Q5_K_M": 0.52, "Q4_K_M": 0.55, "Q4_K_S": 0.55,
            "Q4_0": 0.53, "MXFP4": 0.55, "NVFP4": 0.56, "IQ4_XS": 0.52, "Q3_K_M": 0.50}  # fmt: skip
VENDOR = {"nvidia": 1.0, "amd": 0.78, "apple": 0.82, "intel": 0.65}


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
