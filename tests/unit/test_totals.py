"""The sums of a gateway's workers: what is added up, what is not, and what outlives whom."""

import os
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from trimtab.server import totals
from trimtab.server.slots import Slots
from trimtab.server.totals import Totals


class System:
    """One that counts."""

    def __init__(self, n: int = 0) -> None:
        self.registry = CollectorRegistry()
        self.asked = Counter("asked", "-", ("who",), registry=self.registry)
        self.runs = Gauge("runs", "-", registry=self.registry)
        self.times = Histogram("times", "-", buckets=(1, 2), registry=self.registry)
        Gauge("trimtab_build_info", "-", registry=self.registry).set(1)
        Gauge("process_start_time_seconds", "-", registry=self.registry).set(1000 + n)
        for _ in range(n):
            self.asked.labels("a").inc()
            self.times.observe(1.5)
        self.runs.set(n)


def said(shown: Any) -> dict[str, float]:
    lines = [line for line in generate_latest(shown).decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def worker(folder: Path, number: int, system: System) -> Totals:
    found = Totals(folder / f"{number}.counts")
    found.enter(system.registry)
    return found


def test_a_scrape_of_any_worker_is_the_sum(tmp_path: Path) -> None:
    first, second = worker(tmp_path, 0, System(3)), worker(tmp_path, 1, System(4))
    first.publish()
    page = said(second)
    assert page == said(first)
    assert (page['asked_total{who="a"}'], page["runs"], page["times_count"], page["times_sum"]) == (7, 7, 7, 10.5)
    assert (page['times_bucket{le="1.0"}'], page['times_bucket{le="2.0"}']) == (0, 7)
    assert (page["trimtab_build_info"], page["process_start_time_seconds"]) == (1, 1003)
    assert not [name for name in page if name.endswith("_created")]


def test_what_is_shown_once_is_shown_for_ever(tmp_path: Path) -> None:
    """Each page is of another worker, and none of them has asked the others."""
    systems = [System(), System()]
    workers = [worker(tmp_path, number, system) for number, system in enumerate(systems)]
    shown = 0.0
    for turn in range(40):
        systems[turn * 7 % 3 % 2].asked.labels("a").inc()
        now = said(workers[turn % 2])['asked_total{who="a"}']
        assert now >= shown
        shown = now
    for one in workers:
        one.publish()
    assert said(workers[0])['asked_total{who="a"}'] == 40


def test_who_comes_in_a_dead_workers_place_goes_on_from_its_sums(tmp_path: Path) -> None:
    dead, other = worker(tmp_path, 0, System(3)), worker(tmp_path, 1, System(4))
    dead.publish()
    os.utime(tmp_path / "0.counts", (1, 1))
    page = said(other)
    assert (page['asked_total{who="a"}'], page["runs"]) == (7, 4), "a dead worker has no gauges"
    worker(tmp_path, 0, System(2)).publish()
    page = said(other)
    assert (page['asked_total{who="a"}'], page["runs"]) == (9, 6)


def test_a_reload_keeps_what_was_counted_before(tmp_path: Path) -> None:
    old, new = System(3), System(2)
    both = Totals()
    both.enter(old.registry)
    both.enter(new.registry)
    old.asked.labels("a").inc()
    assert (said(both)['asked_total{who="a"}'], said(both)["runs"]) == (6, 5), "the old one still runs"
    both.leave(old.registry)
    assert (said(both)['asked_total{who="a"}'], said(both)["runs"]) == (6, 2)


def test_a_file_that_is_no_sum_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "1.counts").write_bytes(b"\xff nothing")
    assert said(worker(tmp_path, 0, System(3)))['asked_total{who="a"}'] == 3
    assert totals._read(tmp_path / "none.counts") == {}


def test_slots_are_of_all_processes_and_end_with_theirs(tmp_path: Path) -> None:
    mine = Slots(tmp_path)
    assert [mine.take("k", 3) for _ in range(2)] == [True, True]
    read, write = os.pipe()
    hold, go = os.pipe()
    if not (child := os.fork()):
        theirs = Slots(tmp_path)
        os.write(write, bytes([theirs.take("k", 3), theirs.take("k", 3), theirs.take("other", 1)]))
        os.read(hold, 1)
        os._exit(0)
    assert os.read(read, 3) == bytes([True, False, True])
    assert (mine.take("k", 3), mine.take("other", 1)) == (False, False)
    mine.free("k")
    assert (mine.take("k", 3), mine.take("k", 3)) == (True, False)
    os.write(go, b"1")
    os.waitpid(child, 0)
    assert (mine.take("k", 3), mine.take("other", 1)) == (True, True), "they ended with their process"
    for number in (read, write, hold, go):
        os.close(number)


def test_alone_slots_are_counted(tmp_path: Path) -> None:
    slots = Slots()
    assert [slots.take("k", 2) for _ in range(3)] == [True, True, False]
    slots.free("k")
    assert slots.take("k", 2)
    assert list(tmp_path.iterdir()) == []
