"""Sums over requests by label, in plain lists: what one request costs here is a few look-ups, whatever is exported.

Labels are names of the settings (models, judges) and codes of this program, never what a client or a server said; and
no family grows beyond `LIMIT` label sets.
"""

from bisect import bisect_left
from typing import TypeAlias

from trimtab.errors import CODES
from trimtab.types import Action, Step, Trace

Labels: TypeAlias = tuple[str, ...]
Times: TypeAlias = list[float]
"""How many requests were in each bucket, then how many were beyond the last, then the sum in milliseconds."""

REQUEST_MS = (1.0, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 120_000)
STEP_MS = (0.05, 0.25, 1.0, 5, 25, 100, 500, 2500, 10_000, 60_000)
"""Upper bounds of the buckets in milliseconds: a guard takes microseconds, a large model a minute."""
LIMIT = 500
"""Label sets of one family; what comes after counts as `other`."""
OTHER = "other"
ACTIONS, FINE = frozenset(Action), ("ok", "")


class Cells:
    """The sums since the start; money in nanodollars."""

    def __init__(self) -> None:
        self.requests: dict[Labels, Times] = {}
        self.steps: dict[tuple[str, str, bool], Times] = {}
        self.tokens: dict[Labels, int] = {}
        self.cost: dict[Labels, int] = {}
        self.unknown: dict[Labels, int] = {}
        self.findings: dict[Labels, int] = {}
        self.tickets: dict[Labels, int] = {}
        self.errors: dict[Labels, int] = {}
        self.baseline = self.compared = self.uncompared = 0

    def add(self, trace: Trace) -> None:
        """Count one request and its steps."""
        steps = self.steps
        for step in trace.steps:
            ms = step.ms
            times = steps.get((step.stage, step.by, step.ok))
            if times is None:
                times = self._step(step)
            times[bisect_left(STEP_MS, ms)] += 1
            times[-1] += ms
            if step.usage is not None or step.cost != 0:
                self._spent(step)
            if step.stage == "guard" and step.code not in FINE:
                self._found(step)
        times = self.requests.get((trace.outcome, trace.answered_by))
        if times is None or trace.outcome != "answer":
            times = self._other_outcome(trace)
        times[bisect_left(REQUEST_MS, trace.ms)] += 1
        times[-1] += trace.ms
        if trace.outcome == "answer":
            self._compare(trace)

    def _step(self, step: Step) -> Times:
        labels = (step.stage, step.by, step.ok)
        if len(self.steps) >= LIMIT:
            labels = (step.stage, OTHER, step.ok)
        return self.steps.setdefault(labels, [0.0] * (len(STEP_MS) + 2))

    def _other_outcome(self, trace: Trace) -> Times:
        """The cell of a first answer by this model, or of what was no answer."""
        ladder = trace.decision.ladder if trace.decision else ()
        by = trace.answered_by if not trace.answered_by or trace.answered_by in ladder else OTHER
        if trace.outcome == "pending":
            _count(self.tickets, (trace.code,), 1)
        elif trace.outcome == "error":
            _count(self.errors, (fault(trace),), 1)
        labels = (trace.outcome, by if len(self.requests) < LIMIT else OTHER)
        return self.requests.setdefault(labels, [0.0] * (len(REQUEST_MS) + 2))

    def _spent(self, step: Step) -> None:
        if usage := step.usage:
            counted = "false" if usage.estimated else "true"
            for direction, n in (
                ("input", usage.prompt), ("output", usage.completion), ("cached", usage.cached),
                ("cache_write", usage.cache_write), ("reasoning", usage.reasoning),
            ):  # fmt: skip
                if n:
                    _count(self.tokens, (step.by, direction, counted), n)
        if step.cost is None:
            _count(self.unknown, (step.by,), 1)
        elif step.cost:
            _count(self.cost, (step.by,), step.cost)

    def _found(self, step: Step) -> None:
        """A guard's finding; a code with `:allow` behind it was found by a guard that only watches."""
        code, _, action = step.code.rpartition(":")
        if action not in ACTIONS:
            code, action = step.code, Action.ALLOW
        elif action == Action.ALLOW:
            action = "shadow"
        _count(self.findings, (step.by, code, action), 1)

    def _compare(self, trace: Trace) -> None:
        """Savings are reckoned only over answers that have both a cost and a baseline."""
        if trace.cost is None or trace.baseline is None:
            self.uncompared += 1
        else:
            self.baseline += trace.baseline
            self.compared += trace.cost


def fault(trace: Trace) -> str:
    """A trace's code; that of an error is `other` where a model's server made it up: such a code may be any text."""
    return trace.code if trace.outcome != "error" or trace.code in CODES else OTHER


def _count(table: dict[Labels, int], labels: Labels, n: int) -> None:
    if labels not in table and len(table) >= LIMIT:
        labels = (OTHER,) * len(labels)
    table[labels] = table.get(labels, 0) + n
