"""Metrics for Prometheus: counts, times, tokens, money and findings by model and judge, read at GET /metrics.

The hot path adds to plain cells (`_cells`); Prometheus' own library makes the page of them when it is asked for: its
counters take locks and its histograms walk their buckets, which cost four times as much (benchmarks/metrics.py).
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab import __version__
from trimtab.errors import StorageError
from trimtab.ports import Tools
from trimtab.record._cells import REQUEST_MS, STEP_MS, Cells, Labels, Times
from trimtab.types import Trace

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from trimtab.store.engine import Store

NANO = 1e9


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`store`: watch the system's database too; `process`: memory, CPU time and open files of this process."""

    store: bool = True
    process: bool = True


def build(options: Options, tools: Tools) -> "Metrics":
    """A registry of its own for each system: several may live in one process."""
    return Metrics(options, tools.store if options.store else None)


class Metrics:
    """A `Recorder`; `expose` gives the page. Others may register what they count in `registry`."""

    def __init__(self, options: Options, store: "Callable[[], Store] | None") -> None:
        from prometheus_client import CollectorRegistry, ProcessCollector

        self.cells, self._store = Cells(), store
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)  # pyright: ignore[reportArgumentType] - a collector is what has `collect`
        self.shown: Any = self.registry
        """What a page has: a server of several systems puts the sum of all of them here."""
        if options.process:
            ProcessCollector(registry=self.registry)

    async def record(self, trace: Trace) -> None:
        """Count the trace; nothing is awaited."""
        self.cells.add(trace)

    def expose(self, accept: str = "") -> tuple[bytes, str]:
        """The page and its content type: OpenMetrics where `accept` asks for it, else Prometheus' text format."""
        from prometheus_client.exposition import choose_encoder

        encode, kind = choose_encoder(accept)
        return encode(self.shown), kind

    def collect(self) -> "Iterator[Metric]":
        """The metric families; called by the registry."""
        from prometheus_client.core import GaugeMetricFamily

        about = GaugeMetricFamily("trimtab_build_info", "1; the version is in the label.", labels=("version",))
        about.add_metric((__version__,), 1)
        yield about
        yield from _requests(self.cells)
        yield from _steps(self.cells)
        yield from _money(self.cells)
        yield from _counts(self.cells)
        if self._store:
            yield from _database(self._store)


def _requests(cells: Cells) -> "Iterator[Metric]":
    labels = ("outcome", "answered_by")
    yield _counter(
        "trimtab_requests", "Requests by outcome and by the model that answered.", labels,
        ((key, sum(times[:-1])) for key, times in cells.requests.items()),
    )  # fmt: skip
    by_outcome = _merged((((outcome,), times) for (outcome, _), times in cells.requests.items()))
    yield _histogram(
        "trimtab_request_duration_seconds", "From the decoded request to its outcome.", ("outcome",), REQUEST_MS,
        by_outcome,
    )  # fmt: skip


def _steps(cells: Cells) -> "Iterator[Metric]":
    yield _counter(
        "trimtab_steps", "Steps of the path; a model that passes or is down is not ok.", ("stage", "by", "ok"),
        (((stage, by, str(ok).lower()), sum(times[:-1])) for (stage, by, ok), times in cells.steps.items()),
    )  # fmt: skip
    by_part = _merged((((stage, by), times) for (stage, by, _), times in cells.steps.items()))
    yield _histogram("trimtab_step_duration_seconds", "Time of each step.", ("stage", "by"), STEP_MS, by_part)


def _money(cells: Cells) -> "Iterator[Metric]":
    """USD are counted in nanodollars and leave as a float: exact below 9 million dollars."""
    yield _counter("trimtab_cost_usd", "What models and judges cost, failed ones too, where it is known.", ("by",),
                   ((key, nano / NANO) for key, nano in cells.cost.items()))  # fmt: skip
    yield _counter("trimtab_cost_unknown", "Steps whose cost is unknown: they are not in the sum.", ("by",),
                   cells.unknown.items())  # fmt: skip
    plain = partial(_counter, labels=())
    yield plain("trimtab_baseline_usd", "What the large model would have cost for the answers that have a cost and a "
                "baseline.", rows=[((), cells.baseline / NANO)])  # fmt: skip
    yield plain("trimtab_compared_cost_usd", "What those same answers did cost: the difference is what was saved.",
                rows=[((), cells.compared / NANO)])  # fmt: skip
    yield plain("trimtab_uncompared", "Answers without a known cost or baseline.", rows=[((), cells.uncompared)])


def _counts(cells: Cells) -> "Iterator[Metric]":
    yield _counter("trimtab_tokens", "Tokens by model; cached and cache_write are part of the input, reasoning of the "
                   "output; counted: by a server.",
                   ("model", "direction", "counted"), cells.tokens.items())  # fmt: skip
    yield _counter("trimtab_guard_findings", "What guards found, and what followed.", ("rule", "code", "action"),
                   cells.findings.items())  # fmt: skip
    yield _counter("trimtab_tickets", "Requests that were handed to a person.", ("code",), cells.tickets.items())
    yield _counter("trimtab_errors", "Requests that ended in an error.", ("code",), cells.errors.items())


def _database(store: "Callable[[], Store]") -> "Iterator[Metric]":
    from prometheus_client.core import GaugeMetricFamily

    queued, lost, failing = _watched(store)
    yield GaugeMetricFamily("trimtab_ledger_failing", "1 while the database does not take writes.", value=failing)
    yield GaugeMetricFamily("trimtab_ledger_queue_rows", "Rows that wait to be written.", value=queued)
    yield _counter("trimtab_ledger_lost_rows", "Rows that could not be written.", (), [((), lost)])


def _watched(store: "Callable[[], Store]") -> tuple[int, int, int]:
    """Rows queued, rows lost, whether it fails."""
    try:
        opened = store()
    except StorageError:
        return 0, 0, 1
    writer = opened._writer  # noqa: SLF001 - the store has no word for its queue yet
    return writer.queued, writer._lost, int(writer.failure is not None)  # noqa: SLF001


def _counter(name: str, about: str, labels: Labels, rows: Iterable[tuple[Labels, float]]) -> "Metric":
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(name, about, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _histogram(name: str, about: str, labels: Labels, bounds: tuple[float, ...], cells: dict[Labels, Times]) -> Any:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(name, about, labels=labels)
    names = [*(str(bound / 1000) for bound in bounds), "+Inf"]
    for values, times in cells.items():
        counts = list(accumulate(times[:-1]))
        family.add_metric(values, list(zip(names, counts, strict=True)), sum_value=times[-1] / 1000)
    return family


def _merged(rows: Iterable[tuple[Labels, Times]]) -> dict[Labels, Times]:
    """The cells of equal labels as one."""
    merged: dict[Labels, Times] = {}
    for labels, times in rows:
        known = merged.get(labels)
        merged[labels] = [a + b for a, b in zip(known, times, strict=True)] if known else list(times)
    return merged
