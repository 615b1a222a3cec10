"""What all systems of a gateway have counted, as one page: before and after a reload, in all workers, dead ones too.

A worker writes its sums into a file of its own, each second and when it is scraped; a scrape adds up all files. So what
a page shows is in the files, whichever worker made it, and no counter ever falls. Why so: docs/explanation/metrics.md.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

if TYPE_CHECKING:
    from prometheus_client.core import Metric

EVERY = 1.0
"""Seconds between two writes: what a kill -9 takes from the sums is what was counted since the last one."""
SILENT = 5 * EVERY
"""Seconds after the last write when a worker is dead, and its gauges are nobody's."""
MOST, LEAST = {"trimtab_build_info", "trimtab_ledger_failing"}, {"process_start_time_seconds"}
"""Gauges of which the sum says nothing."""
OF_PROCESS = "process_"
NEWEST = (OF_PROCESS, "trimtab_http_room")
"""Gauges that systems of one process do not have apiece."""

Row: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]
"""A sample's name and labels."""


class Family(msgspec.Struct, array_like=True):
    """One metric: its type, its help and its samples."""

    kind: str
    about: str
    rows: dict[Row, float]


Families: TypeAlias = dict[str, Family]
_decode = msgspec.msgpack.Decoder(list[tuple[str, str, str, list[tuple[Row, float]]]]).decode


class Totals:
    """A collector for Prometheus' library; `file` is this worker's, where there are several."""

    def __init__(self, file: Path | None = None) -> None:
        self._file, self._registries = file, list[Any]()
        self._past = counted(_read(file)) if file else {}

    def enter(self, registry: Any) -> None:
        """A system begins."""
        self._registries.append(registry)

    def leave(self, registry: Any) -> None:
        """A system has ended; what it counted stays."""
        self._registries.remove(registry)
        own = {name: family for name, family in of(registry).items() if not name.startswith(OF_PROCESS)}
        self._past = merged((self._past, counted(own)))

    def collect(self) -> "Iterator[Metric]":
        """The metric families; called by the library."""
        from prometheus_client.core import Metric

        own = self._own()
        if self._file:
            _write(self._file, own)
        for name, family in merged((own, *self._others())).items():
            metric = Metric(name, family.about, family.kind)
            for (sample, labels), value in family.rows.items():
                metric.add_sample(sample, dict(labels), value)
            yield metric

    def publish(self) -> None:
        """Write what was counted, for the others' scrapes and for who comes in this worker's place."""
        if self._file and (own := self._own()):
            _write(self._file, own)

    async def publishing(self) -> None:
        """Publish for ever."""
        while self._file:
            self.publish()
            await asyncio.sleep(EVERY)

    def _own(self) -> Families:
        """This worker's sums."""
        *old, new = (*map(of, self._registries),) or ({},)
        old = [{name: one for name, one in families.items() if not name.startswith(NEWEST)} for families in old]
        return merged((self._past, *old, new))

    def _others(self) -> Iterator[Families]:
        if self._file:
            for file in sorted(self._file.parent.glob(f"*{self._file.suffix}")):
                if file != self._file:
                    yield _read(file)


def of(registry: Any) -> Families:
    """What a registry says now, less when each sample began."""
    found: Families = {}
    for metric in registry.collect():
        rows = {
            (sample.name, tuple(sample.labels.items())): sample.value
            for sample in metric.samples
            if not sample.name.endswith("_created")
        }
        found[metric.name] = Family(metric.type, metric.documentation, rows)
    return found


def merged(parts: Iterable[Families]) -> Families:
    """One family of each name, with samples of equal labels as one."""
    found: Families = {}
    for part in parts:
        for name, family in part.items():
            if not (known := found.get(name)):
                found[name] = Family(family.kind, family.about, dict(family.rows))
                continue
            join = max if name in MOST else min if name in LEAST else float.__add__
            for row, value in family.rows.items():
                known.rows[row] = join(float(known.rows[row]), float(value)) if row in known.rows else value
    return found


def counted(families: Families) -> Families:
    """Those that only grow."""
    return {name: family for name, family in families.items() if family.kind != "gauge"}


def _write(file: Path, families: Families) -> None:
    """In one piece; a full disk costs the others a while of freshness."""
    flat = [(name, one.kind, one.about, list(one.rows.items())) for name, one in families.items()]
    part = file.with_suffix(".part")
    with suppress(OSError):
        part.write_bytes(msgspec.msgpack.encode(flat))
        part.replace(file)


def _read(file: Path) -> Families:
    """What a worker wrote; without its gauges where it has ended."""
    try:
        dead = time.time() - file.stat().st_mtime > SILENT
        found = _decode(file.read_bytes())
    except (OSError, msgspec.DecodeError):
        return {}
    families = {name: Family(kind, about, dict(rows)) for name, kind, about, rows in found}
    return counted(families) if dead else families
