"""Weights of every model of the catalog at the precisions a plan tries: a table, since counting tensors takes time.

python -m trimtab.plan.weights      writes catalog/weights.csv from `memory.weights`; a test holds it to that
"""

import csv
from functools import cache
from pathlib import Path

import msgspec

from trimtab.plan import memory, models, serving

CATALOG = Path(__file__).parent / "catalog" / "weights.csv"
LOCAL = ("Q4_K_M", "Q8_0")
SERVED = ("bf16", "fp8", "awq")
NATIVE = {"gpt-oss": (("MXFP4",), ("mxfp4",))}
"""Families that are published at one precision, which nobody would change."""


class Sized(msgspec.Struct, frozen=True):
    """MiB held and read a token; GB of routed experts, of all else that is read, and the share of experts used."""

    held: float
    read: float
    routed: float
    other: float
    used: float


def precisions(family: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What llama.cpp and what a server runs a family at."""
    return NATIVE.get(family, (LOCAL, SERVED))


@cache
def table() -> dict[tuple[str, str], Sized]:
    """By model and precision."""
    with CATALOG.open(encoding="utf-8", newline="") as file:
        return {
            (row["model"], row["precision"]): Sized(*(float(row[name]) for name in Sized.__struct_fields__))
            for row in csv.DictReader(file)
        }


def sized(row: models.Listed, precision: str) -> Sized:
    """One row, counted."""
    found = memory.weights(row.shape, precision)
    parts = serving.split(row.shape, precision) if precision in memory.ENGINE_BITS else serving.Split(0, 0, 1)
    values = (found.held.central, found.read, parts.routed, parts.other, parts.used)
    return Sized(*(float(f"{value:.6g}") for value in values))


def main() -> None:
    with CATALOG.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("model", "precision", *Sized.__struct_fields__))
        for name, row in models.catalog().items():
            local, served = precisions(row.shape.family)
            for precision in (*local, *served):
                writer.writerow((name, precision, *(f"{x:g}" for x in msgspec.structs.astuple(sized(row, precision)))))


if __name__ == "__main__":
    main()
