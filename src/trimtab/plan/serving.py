"""How fast a server with continuous batching answers (vLLM, SGLang, TensorRT-LLM): time a token and to the first one.

A step reads the weights once (of a mixture of experts: those that the batch touches) and the cache of every sequence,
multiplies for every sequence, exchanges between devices, and gives a share of its time to prompts that came in.
"""

import math
import re

import msgspec

from trimtab.errors import ConfigError
from trimtab.plan.architecture import MIB, Architecture
from trimtab.plan.cache import Session, states
from trimtab.plan.devices import Device
from trimtab.plan.memory import ENGINE_BITS, per_token
from trimtab.plan.speed import Coefficients
from trimtab.plan.tensors import tensors

ALIASES = {"fp4": "nvfp4", "int4": "w4a16", "": "bf16", "bfloat16": "bf16", "float16": "fp16", "int8": "w8a8"}
WRITTEN = (("nvfp4", "nvfp4"), ("mxfp4", "mxfp4"), ("fp4|e2m1", "nvfp4"), ("awq", "awq"), ("gptq", "gptq"),
           ("w4a|int4|4.?bit", "w4a16"), ("fp8|float8|e4m3", "fp8"), ("w8a8|int8|8.?bit", "w8a8"),
           ("bf16|bfloat", "bf16"), ("fp16|float16|half", "fp16"))  # fmt: skip
"""What is found in names of precisions, the first that is: `FP8-block`, `compressed-tensors w4a16`."""
ENGINES = ("vllm", "sglang", "trtllm")


class Split(msgspec.Struct, frozen=True):
    """GB of a checkpoint: routed experts, all other layers that a token reads; and the share of experts it uses."""

    routed: float
    other: float
    used: float


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """One server under a steady number of sequences. Lengths in tokens; `active` in 1e9 parameters."""

    device: Device
    gpus: int
    batch: float
    prompt: int
    answer: int
    split: Split
    active: float
    layers: int
    hidden: int
    token: float
    """GB of cache that one token of context takes in the layers that see all of it."""
    windows: tuple[tuple[int, float], ...] = ()
    """Tokens that others see at the most, and the GB that each takes there."""
    state: float = 0.0
    """GB of recurrent states of one sequence: each token reads and writes them."""
    spread: int = 1
    """Over how many devices the cache of one sequence is split."""
    precision: str = "bf16"
    engine: str = "vllm"
    apart: bool = False
    """Prompts are read by other devices (disaggregated): no step waits for them."""
    readers: int = 1
    """Servers that read prompts, where they are apart, with `reader_gpus` each."""
    reader_gpus: int = 0
    total: float = 0.0
    """Sequences over all servers; for the queue in front of the readers."""
    counted: bool = True
    """False where nobody says how many servers decode: `batch` is then those of all of them."""
    expert_parallel: bool = False
    """Devices hold whole experts, in place of a slice of each."""
    replicated: bool = False
    """Attention is data-parallel: each device keeps whole sequences."""


def split(shape: Architecture, precision: str) -> Split:
    """The checkpoint's bytes by what reads them."""
    linear, whole = ENGINE_BITS[canonical(precision)]
    routed = other = 0.0
    used = 1.0
    for tensor in tensors(shape):
        if "_exps" in tensor.name:
            routed += tensor.count * linear / 8
            used = tensor.read
        elif tensor.name in ("token_embd.weight", "output.weight"):
            other += tensor.count * whole / 8 * (tensor.read > 0)
        else:
            other += tensor.count * linear / 8
    return Split(routed / 1e9, other / 1e9, used)


def canonical(precision: str) -> str:
    """The name this package uses for an engine's precision, as checkpoints and logs write it.

    Raises:
        ConfigError: none that is known.
    """
    word = precision.strip().lower()
    word = ALIASES.get(word, word)
    found = word if word in ENGINE_BITS else next((name for words, name in WRITTEN if re.search(words, word)), None)
    if not found:
        raise ConfigError(f"No precision {precision!r} of an engine.", f"Known: {', '.join(ENGINE_BITS)}.")
    return found


def load(
    shape: Architecture, parts: Split, device: Device, *, gpus: int, batch: float, prompt: int, answer: int,
    precision: str, engine: str = "vllm", apart: bool = False, readers: int = 1, reader_gpus: int = 0,
    total: float = 0.0, whole_cache: bool = False, counted: bool = True, expert_parallel: bool = False,
) -> Load:  # fmt: skip
    """The load of a model; `whole_cache`: each device keeps whole sequences (attention is data-parallel)."""
    latent = any(layer.mixer == "mla" for layer in shape.layers)
    kv = max(layer.kv_heads for layer in shape.layers)
    seen = {
        window: per_token(shape, Session(context=1), [one for one in shape.layers if one.window == window]) * MIB / 1e9
        for window in sorted({layer.window for layer in shape.layers})
    }
    return Load(
        device=device, gpus=gpus, batch=batch, prompt=prompt, answer=max(1, answer), split=parts,
        active=(shape.active or shape.params) / 1e9, layers=shape.depth, hidden=shape.hidden,
        token=seen.pop(0, 0.0), windows=tuple(seen.items()), state=2 * states(shape, 1) * 2**20 / 1e9,
        spread=gpus if whole_cache else 1 if latent else max(1, min(gpus, kv)), precision=canonical(precision),
        engine=engine, apart=apart, readers=readers, reader_gpus=reader_gpus or gpus, total=total or batch,
        counted=counted, expert_parallel=expert_parallel, replicated=whole_cache,
    )  # fmt: skip


def step(given: Coefficients, load: Load) -> float:
    """Seconds a token of each sequence, prompts of others included: what clients see as TPOT."""
    decoding = _decoding(given, load)
    if load.apart:
        return decoding
    return decoding + math.exp(given["interference"]) * load.batch / load.answer * reading(given, load, load.gpus)


def first(given: Coefficients, load: Load) -> float:
    """Seconds to the first token with a steady number of sequences: read the prompt, wait for others', some steps.

    Where prompts are read apart, what hands them over counts, and how many servers read them is often not said: a
    power of the time to read one and of the sequences for each reader.
    """
    own = reading(given, load, load.reader_gpus)
    if load.apart:
        each = load.total / load.readers
        handed = given["handing"] + given.get(f"handing:{load.engine}", 0.0)
        handed += given["handing_spread"] * math.log(each / 64 + 0.1) + given["handing_own"] * math.log(own / 0.1)
        return math.exp(handed)
    own *= math.exp(given["own"] + given.get(f"own:{load.engine}", 0.0))
    waiting = own * math.exp(given["burst"]) * load.batch ** math.exp(given["power"])
    return math.exp(given.get(f"first:{load.engine}", 0.0)) * (own + waiting) + overhead(given, load)


def overhead(given: Coefficients, load: Load) -> float:
    """Seconds to the first token beside reading prompts: what a request costs the host, and some steps."""
    fixed = math.exp(given["first"]) + _decoding(given, load) * math.exp(given["steps"])
    return math.exp(given.get(f"first:{load.engine}", 0.0)) * fixed


def reading(given: Coefficients, load: Load, gpus: int) -> float:
    """Seconds to read one prompt alone."""
    share = given["prefill"] + given.get(f"prefill:{load.engine}", 0.0)
    share += given["prefill_tilt"] * math.log(load.hidden / 4096)
    experts = given["prefill_experts"] * (load.split.routed > 0)
    rate = _rate(load) * 1e3 * gpus**0.9 * math.exp(share + experts)
    return 2 * load.active * load.prompt / rate


def _decoding(given: Coefficients, load: Load) -> float:
    device, gpus, batch = load.device, load.gpus, max(1.0, load.batch)
    if not load.counted:
        batch = max(1.0, batch ** math.exp(given["servers"]))
    bytes_a_second = device.bandwidth * math.exp(given["share"] + given.get(f"share:{load.precision}", 0.0))
    touched = 1 - (1 - load.split.used) ** batch
    weights = (load.split.routed * touched + load.split.other) / gpus / bytes_a_second
    context = load.prompt + load.answer / 2
    kept = context * load.token + sum(min(context, window) * each for window, each in load.windows)
    kept = kept / load.spread + load.state / gpus
    cached = batch * kept / (device.bandwidth * math.exp(given["cached"]))
    rate = _rate(load) * 1e3 * gpus * math.exp(given["operations"])
    multiplied = 2 * load.active * batch / rate
    talking = math.log2(gpus) * math.exp(given["talk"]) + batch * load.hidden * 2e-9 * math.exp(given["wire"]) * (
        gpus > 1
    )
    if load.expert_parallel:
        talking *= math.exp(given.get("expert_parallel", 0.0))
    each = math.exp(given["layer"] + given["layer_experts"] * (load.split.routed > 0)) + talking
    engine = given.get(f"engine:{load.engine}", 0.0) + given["apart"] * load.apart
    engine += given["apart_trtllm"] * (load.apart and load.engine == "trtllm")
    engine += given.get("replicated", 0.0) * load.replicated
    host = math.exp(given["host"]) + batch * math.exp(given["sequence"])
    return (weights + cached + multiplied + load.layers * each + host) * math.exp(engine)


def _rate(load: Load) -> float:
    """Peak of the device, 1e12 operations a second, at the precision that multiplies."""
    device = load.device
    if load.precision in ("fp8", "w8a8"):
        return max(device.tops, device.tflops)
    if load.precision in ("nvfp4", "mxfp4") and device.tflops > 1500:
        return 2 * device.tops
    return device.tflops


def facts(load: Load) -> tuple[float, ...]:
    """What the size of an error follows from (`doubt`)."""
    return (
        float(load.apart), float(not load.counted), math.log(max(1.0, load.batch) / 64), float(load.split.routed > 0),
        float(load.precision in ("nvfp4", "mxfp4")), math.log(load.gpus), float(load.engine == "sglang"),
        float(load.engine == "trtllm"),
    )  # fmt: skip


STEP: dict[str, tuple[float, float]] = {
    "share": (0.0, 0.5), "cached": (0.3, 0.5), "operations": (-0.4, 0.5), "talk": (-11.4, 0.5), "wire": (-4.7, 0.5),
    "layer": (-10.1, 0.5), "layer_experts": (0.6, 0.5), "host": (-7.6, 0.5), "sequence": (-11.1, 0.5),
    "apart": (-0.2, 3.0), "servers": (-0.2, 0.5), "apart_trtllm": (0.1, 1.0), "interference": (0.0, 1.0),
    "prefill": (-0.9, 0.5), "prefill_tilt": (0.0, 3.0), "prefill_experts": (-1.2, 0.5),
} | {f"{word}:{name}": (0.0, 3.0) for word in ("engine", "prefill") for name in ENGINES} | {
    f"share:{name}": (0.0, 3.0) for name in ("fp8", "nvfp4", "bf16", "w4a16")
}  # fmt: skip
"""Start and stiffness. Natural logarithms: of shares of a peak, of seconds."""
FIRST: dict[str, tuple[float, float]] = {
    "own": (0.0, 1.0), "burst": (math.log(0.05), 0.5), "power": (-0.2, 2.0), "first": (math.log(0.06), 0.5),
    "steps": (0.0, 1.0), "handing": (0.0, 0.5), "handing_own": (0.5, 2.0), "handing_spread": (0.3, 2.0),
} | {f"{word}:{name}": (0.0, 1.5) for word in ("first", "own", "handing") for name in ENGINES}  # fmt: skip
"""What the time to the first token has beside the coefficients of a step, which stay as they are."""


def written(given: Coefficients) -> dict[str, tuple[float, float]]:
    """Start and stiffness for a step of a server that is kept full (vLLM as published, not tuned): near `given`, those
    of a step that clients see; exchanges, and what each sequence costs the host, are freer to differ."""
    near = {name: (given.get(name, start), stiff * 16) for name, (start, stiff) in STEP.items()}
    return near | {
        "talk": (-11.6, 2.4), "wire": (-4.2, 2.4), "sequence": (-10.5, 0.8), "layer_experts": (0.3, 2.4),
        "expert_parallel": (0.5, 4.0), "replicated": (0.5, 8.0),
    }  # fmt: skip
