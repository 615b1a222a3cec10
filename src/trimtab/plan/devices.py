"""Hardware by name: rows of `catalog/hardware.csv`, or of a file like it."""

import csv
from difflib import get_close_matches
from functools import cache
from pathlib import Path

import msgspec

from trimtab.errors import ConfigError

CATALOG = Path(__file__).parent / "catalog" / "hardware.csv"
MIB_PER_GB = 1e9 / 2**20
TOGETHER = {"dc": 8, "gpu": 4}
"""Devices of a kind that one machine holds; of others one. A data centre's: a DGX, an EC2 p5, g5 or g6. Of cards for
desks four: a workstation's slots and its supplies of power (runlocalai.co/stacks/quad-3090-workstation; kentino.com,
"4x RTX 4090 AI Workstation")."""
MAKERS = (("rtx", "nvidia"), ("gtx", "nvidia"), ("rx-", "amd"), ("mi3", "amd"), ("mi2", "amd"), ("arc", "intel"))


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A row. Memory in MiB, bandwidth in GB/s, dense TFLOPS at 16 bit and TOPS at 8; None where it is not known."""

    id: str
    name: str
    kind: str
    """phone, sbc, edge, apple, cpu, apu, gpu, dc (data centre) or browser."""
    memory: float
    usable: float
    bandwidth: float
    tflops: float
    tops: float
    watts: float | None
    idle: float | None
    price: float | None
    hourly: tuple[float, float] | None
    battery: float | None
    source: str

    @property
    def most(self) -> int:
        """How many of them one machine holds."""
        return TOGETHER.get(self.kind, 1)

    @property
    def maker(self) -> str:
        """nvidia, amd, intel, apple or other."""
        if self.kind == "apple":
            return "apple"
        found = next((maker for start, maker in MAKERS if self.id.startswith(start)), "")
        if found or self.id == "r9700":
            return found or "amd"
        return "nvidia" if self.kind in ("dc", "edge") and self.id not in ("tpu-v5e", "inf2") else "other"


def find(name: str, path: Path = CATALOG) -> Device:
    """The row of a device by its id or name.

    Raises:
        ConfigError: nobody lists it; the nearest names are said.
    """
    rows, wanted = catalog(path), name.strip().lower()
    if wanted in rows:
        return rows[wanted]
    squeezed = _squeezed(wanted)
    for key, row in rows.items():
        if squeezed in (_squeezed(key), _squeezed(row.name)):
            return row
    near = get_close_matches(wanted, list(rows), 3, 0.4) or [key for key in rows if wanted in key][:3]
    fix = f"Nearest: {', '.join(near)}." if near else "`trimtab plan devices` lists them."
    raise ConfigError(f"No device {name!r} in the catalog.", fix)


@cache
def catalog(path: Path = CATALOG) -> dict[str, Device]:
    """All rows by id."""
    with path.open(encoding="utf-8", newline="") as file:
        return {row["id"]: _device(row) for row in csv.DictReader(file)}


def _device(row: dict[str, str]) -> Device:
    def number(name: str) -> float | None:
        return float(row[name]) if row[name] else None

    bandwidth, tflops, low, high = (
        number(name) for name in ("mem_bw_gbs", "fp16_tflops_dense", "cloud_usd_h_low", "cloud_usd_h_high")
    )
    bandwidth = bandwidth or 20.0
    tflops = tflops or bandwidth / 30
    return Device(
        id=row["id"], name=row["name"], kind=row["cls"], memory=(number("mem_gb") or 0) * 1024,
        usable=(number("usable_gb") or number("mem_gb") or 0) * 1024, bandwidth=bandwidth, tflops=tflops,
        tops=number("int8_tops_dense") or tflops, watts=number("tdp_w"), idle=number("idle_w"),
        price=number("price_usd"), hourly=(low, high) if low and high else None, battery=number("battery_wh"),
        source=row["source"],
    )  # fmt: skip


def _squeezed(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
