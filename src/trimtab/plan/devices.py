"""Hardware by name: rows of `catalog/hardware.csv`, or of a file like it."""

import re
from difflib import get_close_matches
from functools import cache
from pathlib import Path

import msgspec

from trimtab.errors import ConfigError
from trimtab.plan import table

CATALOG = Path(__file__).parent / "catalog" / "hardware.csv"
MIB_PER_GB = 1e9 / 2**20
TOGETHER = {"dc": 8, "gpu": 4}
"""Devices of a kind that one machine holds; of others one. A data centre's: a DGX, an EC2 p5, g5 or g6. Of cards for
desks four: a workstation's slots and its supplies of power (runlocalai.co/stacks/quad-3090-workstation; kentino.com,
"4x RTX 4090 AI Workstation")."""
NEEDED = ("id",)
MAKERS = ((r"\b(rtx|gtx|tesla|geforce)\b", "nvidia"), (r"\b(rx|radeon|instinct|mi[23]\d\dx?)\b", "amd"),
          (r"\barc\b", "intel"), (r"\b(tpu|inf2|inferentia\d?|gaudi\d?)\b", "other"))  # fmt: skip
NOISE = frozenset(("nvidia", "amd", "intel", "apple", "geforce", "radeon", "instinct", "tesla", "gpu", "generation",
                   "edition", "blackwell", "server", "workstation", "chip", "per"))  # fmt: skip
"""Words of a device's name that do not tell it from others."""
SOCKETS = frozenset(("sxm", "pcie"))
GUESS = 20.0
"""GB/s of a device whose bandwidth nobody says."""


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
    rated: bool = True
    """False where nobody says its bandwidth: 20 GB/s is a guess."""
    counted: bool = True
    """False where nobody says its operations: they are reckoned from its bandwidth."""

    @property
    def most(self) -> int:
        """How many of them one machine holds."""
        return TOGETHER.get(self.kind, 1)

    @property
    def maker(self) -> str:
        """nvidia, amd, intel, apple or other."""
        if self.kind == "apple":
            return "apple"
        found = next((maker for words, maker in MAKERS if named(self, words)), "")
        return found or ("nvidia" if self.kind in ("dc", "edge") else "other")


def named(device: Device, pattern: str) -> bool:
    """Whether a regular expression is found in its id or its name, in lower case with spaces for dashes."""
    return _found(device.id, device.name, pattern)


@cache
def _found(key: str, name: str, pattern: str) -> bool:
    return bool(re.search(pattern, f"{key} {name}".lower().replace("-", " ").replace("_", " ")))


def find(name: str, path: Path = CATALOG) -> Device:
    """The row of a device by its id or name.

    Raises:
        ConfigError: nobody lists it; the nearest names are said.
    """
    rows, wanted = catalog(path), name.strip().lower()
    if found := match(wanted, rows):
        return found
    near = get_close_matches(wanted, list(rows), 3, 0.4) or [key for key in rows if wanted in key][:3]
    fix = f"Nearest: {', '.join(near)}." if near else "`trimtab plan devices` lists them."
    raise ConfigError(f"No device {name!r} in the catalog.", fix)


def match(name: str, rows: dict[str, Device]) -> Device | None:
    """The row that `name` means, as catalogs, drivers and logs write it (`a100_sxm`, `NVIDIA A100-SXM4-80GB`); None
    where none does or several do."""
    wanted = name.strip().lower()
    if wanted in rows:
        return rows[wanted]
    squeezed = _squeezed(wanted)
    for key, row in rows.items():
        if squeezed in (_squeezed(key), _squeezed(row.name)):
            return row
    words, sizes = _words(wanted)
    alike = [(row, _names(row.id, row.name)) for row in rows.values() if not sizes or _holds(row, sizes)]
    exact = [row for row, names in alike if words in names]
    found = exact or [row for row, names in alike if any(_socketed(words, of) for of in names)]
    return found[0] if words and len(found) == 1 else None


def _socketed(wanted: frozenset[str], of: frozenset[str]) -> bool:
    """Whether one of two names alone says the socket, and all else is the same."""
    return wanted != of and (wanted == of - SOCKETS or of == wanted - SOCKETS)


@cache
def _names(key: str, name: str) -> tuple[frozenset[str], ...]:
    """A row's id, its name, and what stands in brackets in that, as words."""
    return tuple(_words(part)[0] for part in (key, *re.split(r"[()]", name)) if _words(part)[0])


@cache
def _words(name: str) -> tuple[frozenset[str], frozenset[int]]:
    """The words that tell a device from others, and the GB that its name says."""
    plain = re.sub(r"sxm\d", "sxm", re.sub(r"\bhbm\w*", "", name.lower()))
    sizes = re.findall(r"\b(\d+) ?gi?b\b", plain)
    words = re.findall(r"[a-z0-9]+", re.sub(r"\b\d+ ?gi?b\b", "", plain))
    if len(words) > 2 and words[-1].isdigit() and words[-2] in SOCKETS:  # a100-sxm-80
        sizes.append(words.pop())
    return frozenset(words) - NOISE, frozenset(map(int, sizes))


def _holds(row: Device, sizes: frozenset[int]) -> bool:
    return any(abs(row.memory / 1024 / size - 1) < 0.1 for size in sizes)


@cache
def catalog(path: Path = CATALOG) -> dict[str, Device]:
    """All rows by id.

    Raises:
        ConfigError: a cell is no number; its row is said.
    """
    return {row["id"]: read(row) for row in table.rows(path, NEEDED)}


def read(row: table.Line) -> Device:
    """A row of the schema.

    Raises:
        ConfigError: it has no id, or a cell that is no number above 0.
    """
    if not row["id"]:
        raise ConfigError(f"{row.place}: it has no id.", "Name the device.")

    def number(name: str) -> float | None:
        return row.amount(name) or None

    bandwidth, tflops, low, high = (
        number(name) for name in ("mem_bw_gbs", "fp16_tflops_dense", "cloud_usd_h_low", "cloud_usd_h_high")
    )
    browser = row["cls"] == "browser"  # its own bandwidth is whatever it runs on gives it
    rated, counted = browser or bandwidth is not None, browser or tflops is not None
    bandwidth = bandwidth or GUESS
    tflops = tflops or bandwidth / 30
    return Device(
        id=row["id"], name=row["name"] or row["id"], kind=row["cls"].lower(), memory=(number("mem_gb") or 0) * 1024,
        usable=(number("usable_gb") or number("mem_gb") or 0) * 1024, bandwidth=bandwidth, tflops=tflops,
        tops=number("int8_tops_dense") or tflops, watts=number("tdp_w"), idle=row.number("idle_w"),
        price=number("price_usd"), hourly=(low, high) if low and high else None, battery=number("battery_wh"),
        source=row["source"], rated=rated, counted=counted,
    )  # fmt: skip


def _squeezed(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
