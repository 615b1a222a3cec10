"""Power and energy: watts of a device under load, joules a token, and what a battery and heat allow."""

import math

from trimtab.plan.devices import Device
from trimtab.plan.figure import Figure
from trimtab.plan.serving import Load
from trimtab.plan.speed import Coefficients

WATTS: dict[str, tuple[float, float]] = {
    "full": (1.0, 0.3), "batch": (0.2, 5.0), "gpus": (-0.2, 5.0), "active": (0.2, 5.0), "held": (0.2, 5.0),
    "fp8": (0.0, 5.0),
}  # fmt: skip
"""Start and stiffness of the log-odds of the share of its rated power that a device draws."""
LOCAL = (0.35, 0.62, 0.9)
"""Share of rated power that one sequence draws on a local device (energy_edge.csv, whole machines)."""
FULL = 0.25
"""Share of its memory that weights take (GB by MiB), where nobody says how much it has."""
IDLE = 0.1
"""Share of rated power that a device draws while it waits, where nobody says it."""
SUSTAINED = {"phone": (0.4, 0.55, 0.85), "sbc": (0.7, 0.9, 1.0), "edge": (0.8, 0.95, 1.0)}
"""What is left of the speed after minutes, where heat is let out badly (arXiv 2603.23640: iPhone 16 Pro halves)."""


def watts(given: Coefficients, load: Load) -> float:
    """Watts of one device of a server: nearer to what it is rated for the more sequences, parameters and bytes it works
    on, and further from it the more devices wait for each other."""
    held = (load.split.routed + load.split.other) / load.gpus
    odds = given["full"] + given["batch"] * math.log(max(1.0, load.batch) / 64) + given["gpus"] * math.log(load.gpus)
    odds += given["active"] * math.log(load.active / load.gpus / 10) + given["fp8"] * (load.precision == "fp8")
    full = held * 1e3 / load.device.memory if load.device.memory else FULL
    odds += given["held"] * math.log(max(1e-3, full))
    return (load.device.watts or 300.0) / (1 + math.exp(-odds))


def joules_token(power: Figure, rate: Figure) -> Figure:
    """J a token from watts and tokens a second of the same server."""
    low, high = power.low / rate.high, power.high / max(rate.low, 1e-9)
    weaker = "extrapolated" if "extrapolated" in (power.tag, rate.tag) else power.tag
    return Figure(low, power.central / rate.central, high, "J/token", weaker)


def local(device: Device, gpus: int = 1) -> Figure:
    """Watts of `gpus` devices that write one sequence, one of them at a time at work; `unknown` where nobody says the
    rated power."""
    if not device.watts:
        return Figure(2.0 * gpus, 40.0 * gpus, 400.0 * gpus, "W", "unknown", "no rated power in the catalog")
    idle = (gpus - 1) * (device.idle if device.idle is not None else IDLE * device.watts)
    low, central, high = (share * device.watts + idle for share in LOCAL)
    return Figure(low, central, high, "W", "extrapolated", "share of the rated power")


def battery_hours(device: Device, power: Figure) -> Figure | None:
    """Hours of writing without a pause; None for what has no battery."""
    return power.inverse(device.battery, "h") if device.battery else None


def sustained(device: Device, rate: Figure) -> Figure:
    """The speed after minutes of work, where heat slows the device; the same where it does not."""
    found = SUSTAINED.get(device.kind)
    if not found:
        return rate
    low, central, high = found
    return Figure(rate.low * low, rate.central * central, rate.high * high, rate.unit, "extrapolated", "hot")
