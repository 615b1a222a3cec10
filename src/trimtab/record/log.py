"""A line in the log for each request that failed or was slow: its trace's id, what became of it, and where.

Of an error the line has the code and the steps that failed, never words: those are in the ledger, cleaned.
"""

import logging
from typing import Annotated

import msgspec

from trimtab.ports import Recorder, Tools
from trimtab.record._cells import fault
from trimtab.types import Json, Trace

LOG = logging.getLogger("trimtab.request")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`slow`: seconds from which an answer is worth a line."""

    slow: Annotated[float, msgspec.Meta(gt=0)] = 10.0


def build(options: Options, tools: Tools) -> Recorder:  # noqa: ARG001 - every kind is built alike
    return Lines(options)


class Lines:
    """A `Recorder` that logs."""

    def __init__(self, options: Options) -> None:
        self._slow_ms = options.slow * 1000

    async def record(self, trace: Trace) -> None:
        """Log a failed request as an error, a slow one as a warning; nothing is awaited."""
        if trace.outcome == "error":
            LOG.error("request failed", extra={"fields": said(trace)})
        elif trace.ms >= self._slow_ms:
            LOG.warning("request was slow", extra={"fields": said(trace)})


def said(trace: Trace) -> Json:
    """What a line says of a request."""
    failed = [f"{step.stage} {step.by}".strip() for step in trace.steps if not step.ok]
    slowest = max(trace.steps, key=lambda step: step.ms, default=None)
    return {
        "trace": trace.request.id, "outcome": trace.outcome, "code": fault(trace), "ms": round(trace.ms, 1),
        "answered_by": trace.answered_by, "not_ok": failed,
        "slowest": f"{slowest.stage} {slowest.by}".strip() if slowest else "",
    }  # fmt: skip
