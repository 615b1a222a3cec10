"""How fast one sequence is read and written by llama.cpp, Ollama and their like: seconds from bytes and operations.

Decode is bound by bytes: weights that one token reads, the cache, and a fixed cost a layer. Prefill is bound by
operations. What share of a device's numbers is reached is calibrated (`fit`), by class of device and of precision.
"""

import math
from collections.abc import Iterable, Mapping

import msgspec

from trimtab.plan import cache, devices
from trimtab.plan.architecture import ATTENDS, Architecture
from trimtab.plan.devices import Device
from trimtab.plan.memory import Weights

Coefficients = Mapping[str, float]
CLASSES = ("gpu", "dc", "hbm", "apple", "cpu", "sbc", "edge", "phone", "apu", "browser")
PRECISIONS = (("F16", "f16"), ("BF16", "f16"), ("FP16", "f16"), ("Q8", "q8"), ("MXFP4", "mx"), ("Q4_0", "q4"))
HBM = 1500.0
"""GB/s; data-centre devices above have stacked memory, whose numbers llama.cpp reaches less of."""
WARP_GROUPS = r"\b(g?h[128]00|gh200|h20|g?b[23]00)\b"
"""Devices whose peak needs instructions that llama.cpp does not use: it gets the rate of the older ones."""
OLDER_RATE = 0.6
LARGE = 100.0
"""TFLOPS; edge devices above (GB10, Thor) have the cores of a card."""
MICRO = 512


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What one run is made of: GB that a token reads and that are held, 1e9 parameters it multiplies, layers."""

    device: Device
    read: float
    held: float
    active: float
    layers: int
    hidden: int
    precision: str
    params: float = 0.0
    """1e9 parameters in all."""
    cached: float = 0.0
    """GB of keys, values and states that a token at this depth reads."""
    attended: float = 0.0
    """1e12 operations of attention for a token at this depth, prefill."""
    tokens: int = 512
    prompts: int = 1
    """Prompts of `tokens` each that are read together."""
    gpus: int = 1
    experts: bool = False
    flash: bool = True
    ollama: bool = False
    on_cpu: bool = False
    micro: int = MICRO


def run(
    shape: Architecture, weights: Weights, device: Device, precision: str, *, depth: float = 0, tokens: int = 512,
    prompts: int = 1, gpus: int = 1, flash: bool = True, ollama: bool = False, on_cpu: bool = False, micro: int = MICRO,
) -> Run:  # fmt: skip
    """The run of a model: `depth` tokens are in the context already, `tokens` more are read or written."""
    middle = depth + tokens / 2
    session = cache.Session(context=1)
    held = read = 0.0
    for layer in shape.layers:
        seen = min(middle, layer.window or middle)
        if layer.mixer in ATTENDS:
            read += seen * (
                (shape.latent.kv + shape.latent.rope) * 2 if layer.mixer == "mla"
                else layer.kv_heads * (layer.head_k + layer.head_v) * cache.BYTES[session.keys]
            )  # fmt: skip
            held += 4 * layer.heads * layer.head_k * seen
    return Run(
        device=device, read=weights.read * 2**20 / 1e9, held=weights.held.central * 2**20 / 1e9,
        active=(shape.active or shape.params) / 1e9, params=shape.params / 1e9, layers=shape.depth,
        hidden=shape.hidden, precision=precision,
        cached=read / 1e9 + cache.states(shape, 1) * 2**20 / 1e9, attended=held / 1e12, tokens=tokens, prompts=prompts,
        gpus=gpus, experts=shape.experts > 0, flash=flash, ollama=ollama, on_cpu=on_cpu, micro=micro,
    )  # fmt: skip


def decode(given: Coefficients, run: Run) -> float:
    """Seconds a token of one sequence."""
    return sum(terms(given, run).values())


def terms(given: Coefficients, run: Run) -> dict[str, float]:
    """What the seconds of a token are made of: reading weights, each layer's fixed cost, reading the cache, operations
    where they bind, and handing over between devices."""
    kind, device = device_class(run), run.device
    tilt = given["tilt"] * math.log(device.bandwidth / 500)
    share = given["share"] + given.get(f"share:{kind}", 0.0) + tilt + _precision(given, run)
    share += given["flash"] * run.flash
    layer = given["layer"] + given.get(f"layer:{kind}", 0.0) + given["layer_flash"] * run.flash
    cached = given["cached"] + given["cached_flash"] * run.flash + 0.5 * given.get(f"share:{kind}", 0.0)
    slower = math.exp(given["ollama"] * run.ollama + given["experts"] * run.experts)
    found = {
        "weights": run.read / (device.bandwidth * math.exp(share)) * slower,
        "layers": run.layers * math.exp(layer) * slower,
        "cache": run.cached / (device.bandwidth * math.exp(cached)) * slower,
    }  # fmt: skip
    if kind in ("cpu", "sbc", "phone"):
        found["operations"] = 2 * run.active / (device.tflops * 1e3 * math.exp(given["operations"])) * slower
    if run.gpus > 1:
        found["exchange"] = (run.gpus - 1) * math.exp(given["gpus"])
    return found


def prefill(given: Coefficients, run: Run) -> float:
    """Seconds a token of a prompt of `run.tokens`; several GPUs hold layers each and work as a pipeline."""
    kind, device = device_class(run), run.device
    rate = device.tflops * (OLDER_RATE if devices.named(device, WARP_GROUPS) else 1.0)
    tilt = given["tilt"] * math.log(rate / 100)
    share = given["share"] + given.get(f"share:{kind}", 0.0) + _precision(given, run) + tilt
    if precision_class(run.precision) == "f16" and kind == "apple":
        share += given["f16_apple"]  # no matrix units, by which 16 bit gains on other devices
    if run.experts:  # each expert sees few tokens: the faster the device, the less of it they fill
        share += given["experts"] + given["experts_tilt"] * math.log(rate / 30)
    multiplying = 2 * run.active / (rate * 1e3 * math.exp(share))
    tokens = run.tokens * run.prompts
    steps = math.ceil(tokens / run.micro)
    layer = given["layer"] + given.get(f"layer:{kind}", 0.0)
    reading = run.held / (device.bandwidth * math.exp(given["reading"]))
    fixed = steps * (run.layers * math.exp(layer) + reading) / tokens
    attending = given["attention"] + given.get(f"attention:{kind}", 0.0)
    attending += given["attention_flash"] if run.flash else tilt
    seconds = multiplying + fixed + run.attended / (rate * math.exp(attending))
    pipeline = steps * run.gpus / (steps + run.gpus - 1)
    return seconds * pipeline ** -math.exp(given["pipeline"])


def facts(run: Run) -> tuple[float, ...]:
    """What the size of an error follows from (`doubt`): classes of devices, and what little was measured of."""
    kind = device_class(run)
    classes = (("cpu", "sbc"), ("edge", "phone", "apu", "browser"), ("apple",), ("dc", "hbm"))
    return (
        *(float(kind in some) for some in classes), float(run.experts),
        float(precision_class(run.precision) in ("q8", "f16")), float(run.ollama), math.log(max(run.params, 0.05) / 8),
    )  # fmt: skip


def offloaded(seconds: float, run: Run, share: float, host: float) -> float:
    """Seconds a token where `share` (0 to 1) of the layers are on the device and the host reads the rest at `host`
    GB/s: layers run one after the other, so their times add up."""
    return seconds * share + (1 - share) * (run.read + run.cached) / host


def device_class(run: Run) -> str:
    """Which of the classes that were calibrated apart a run belongs to."""
    device = run.device
    if run.on_cpu and device.kind != "sbc":
        return "cpu"
    if device.kind == "edge" and device.tflops > LARGE:
        return "gpu"
    return "hbm" if stacked(device) else device.kind


def stacked(device: Device) -> bool:
    """Whether it is of a data centre and has stacked memory."""
    return device.kind == "dc" and device.bandwidth > HBM and not devices.named(device, r"\bpro\b")


def precision_class(precision: str) -> str:
    """The kernels a precision uses: f16, q8, mx (MXFP4), q4 (Q4_0) or k (all others)."""
    wanted = precision.upper()
    return next((kind for start, kind in PRECISIONS if wanted.startswith(start)), "k")


def _precision(given: Coefficients, run: Run) -> float:
    return given.get(f"precision:{precision_class(run.precision)}", 0.0)


def prior(names: Iterable[tuple[str, float, float]], classes: Iterable[str]) -> dict[str, tuple[float, float]]:
    """Start and stiffness of each coefficient; the offsets of classes and precisions start at 0, stiff."""
    found = {name: (value, stiff) for name, value, stiff in names}
    for word in classes:
        found |= {f"{word}:{kind}": (0.0, 1.5) for kind in CLASSES}
    return found | {f"precision:{kind}": (0.0, 1.5) for kind in ("f16", "q8", "mx", "q4", "k")}


DECODE = prior(
    (("share", math.log(0.8), 0.01), ("tilt", 0.0, 1.0), ("layer", math.log(60e-6), 0.05), ("flash", 0.0, 1.5),
     ("cached", math.log(0.5), 0.3), ("layer_flash", 0.0, 1.5), ("cached_flash", 0.0, 1.5), ("operations", 0.0, 1.0),
     ("ollama", 0.0, 1.5), ("experts", 0.0, 1.5), ("gpus", math.log(100e-6), 1.0)),
    ("share", "layer"),
)  # fmt: skip
PREFILL = prior(
    (("share", math.log(0.35), 0.01), ("tilt", -0.15, 0.05), ("layer", math.log(80e-6), 0.2),
     ("experts", -0.1, 3.0), ("experts_tilt", -0.35, 8.0), ("f16_apple", -0.2, 1.0), ("reading", math.log(0.7), 2.0),
     ("attention", math.log(0.15), 0.05), ("attention_flash", 0.7, 0.05), ("pipeline", 0.0, 1.0)),
    ("share", "layer", "attention"),
)  # fmt: skip
