"""A trace as OpenTelemetry spans in OTLP's JSON: one for the request, a child for each step. Pure.

No text of a prompt, an answer, a reason or a client's header is in a span: names come from the settings, codes from
this program and its kinds; a fault's code, which may be its server's, is left out unless it is one of ours.
"""

import re
from hashlib import sha256
from typing import Any

import msgspec

from trimtab.errors import CODES
from trimtab.record._cells import OTHER, fault
from trimtab.types import Answer, Json, Step, Trace

CONVENTIONS = "https://opentelemetry.io/schemas/gen-ai/1.42.0"
"""The version of the GenAI semantic conventions whose names stand below:
https://github.com/open-telemetry/semantic-conventions-genai (in development there: names may change)."""

INTERNAL, SERVER, CLIENT = 1, 2, 3
"""Span kinds: opentelemetry/proto/trace/v1/trace.proto."""
ERROR = 2
"""A status code of the same file; unset is left out."""
TRACE = re.compile(r"tr_[0-9a-f]{32}")
PARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
"""https://www.w3.org/TR/trace-context/#traceparent-header; later versions have their own rules."""
FINISHES = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call", "error"})
"""A server may say anything here; these are told apart."""
NUMBERS = {"max_tokens": "max_tokens", "max_completion_tokens": "max_tokens", "temperature": "temperature",
           "top_p": "top_p", "n": "choice.count", "presence_penalty": "presence_penalty",
           "frequency_penalty": "frequency_penalty", "seed": "seed"}  # fmt: skip
"""Numbers of a request's parameters and their names in `gen_ai.request`."""
LAST = (1 << 64) - 1
"""The greatest span id."""

_encode = msgspec.json.Encoder().encode


class Parent(msgspec.Struct, frozen=True):
    """The span that a client's request belongs to."""

    trace: str
    span: str
    sampled: bool


def parent(traceparent: str) -> Parent | None:
    """What a `traceparent` header says; None where it says nothing valid (the standard: begin a new trace)."""
    if not (found := PARENT.fullmatch(traceparent)):
        return None
    trace, span, flags = found.groups()
    if not trace.strip("0") or not span.strip("0"):
        return None
    return Parent(trace, span, bool(int(flags, 16) & 1))


def trace_id(id: str) -> str:
    """The 16 bytes of a request's id in hex; of an id of another shape the beginning of its SHA-256."""
    return id[3:] if TRACE.fullmatch(id) else sha256(id.encode("utf-8", "replace")).hexdigest()[:32]


def spans(trace: Trace, above: Parent | None = None) -> list[Json]:
    """The request's span and its steps', the ids made of the request's own."""
    own = trace_id(trace.request.id)
    trace_hex, root = (above.trace if above else own), int(own[16:], 16) or 1
    began = int(trace.at * 1e9)
    first: Json = {
        "traceId": trace_hex, "spanId": f"{root:016x}", "name": _title(trace), "kind": SERVER,
        **_times(began, trace.ms), "attributes": _of_request(trace),
    }  # fmt: skip
    if above:
        first["parentSpanId"] = above.span
    if trace.outcome in ("error", "cancelled"):
        first["status"] = {"code": ERROR}
    children = [
        {
            "traceId": trace_hex, "spanId": _child(root, i), "parentSpanId": f"{root:016x}",
            **_of_step(step, began + int(step.at * 1e6), _code(step, trace)),
        }
        for i, step in enumerate(trace.steps)
    ]  # fmt: skip
    return [first, *children]


def payload(spans: list[bytes], resource: Json) -> bytes:
    """An ExportTraceServiceRequest of spans that are JSON already."""
    head = _encode({"attributes": attributes(resource)})
    scope = _encode({"name": "trimtab", "version": resource["service.version"]})
    return b"".join((
        b'{"resourceSpans":[{"resource":', head, b',"scopeSpans":[{"scope":', scope, b',"spans":[', b",".join(spans),
        b'],"schemaUrl":"', CONVENTIONS.encode(), b'"}]}]}',
    ))  # fmt: skip


def encoded(trace: Trace, above: Parent | None = None) -> bytes:
    """The spans of a trace as JSON, with commas between."""
    return _encode(spans(trace, above))[1:-1]


def attributes(values: Json) -> list[Json]:
    """OTLP's list of typed attributes; those that are None are left out."""
    return [{"key": key, "value": _value(value)} for key, value in values.items() if value is not None]


def _child(root: int, i: int) -> str:
    """The id of the i-th step: never the root's, and never 0, which is no id."""
    return f"{(root + i) % LAST + 1:016x}"


def _title(trace: Trace) -> str:
    name = _asked(trace)
    return f"chat {name}" if name else "chat"


def _asked(trace: Trace) -> str | None:
    """The model that was asked for, where it is one that the settings know: else it is a text of the client's."""
    wished, decision = trace.request.wishes.model, trace.decision
    known = decision is not None and (wished in decision.ladder or wished in decision.left_out)
    return wished if wished == "auto" or known else None


def _of_request(trace: Trace) -> list[Json]:
    usage, answer = trace.usage, trace.result if isinstance(trace.result, Answer) else None
    counted = answer is not None
    failed = trace.outcome in ("error", "cancelled")
    return attributes({
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "trimtab",
        "gen_ai.request.model": _asked(trace),
        "gen_ai.request.stream": True if trace.request.wishes.stream else None,
        **_numbers(trace.request.params),
        "gen_ai.response.model": trace.answered_by or None,
        "gen_ai.response.finish_reasons": [_finish(answer)] if answer else None,
        "gen_ai.usage.input_tokens": usage.prompt if counted else None,
        "gen_ai.usage.output_tokens": usage.completion if counted else None,
        "gen_ai.usage.cache_read.input_tokens": usage.cached if counted and usage.cached else None,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write if counted and usage.cache_write else None,
        "error.type": fault(trace) if failed else None,
        "trimtab.trace": trace.request.id if TRACE.fullmatch(trace.request.id) else None,
        "trimtab.outcome": trace.outcome,
        "trimtab.code": trace.code if trace.code and not failed else None,
        "trimtab.confidence": trace.confidence,
        "trimtab.cost_usd": _usd(trace.cost),
        "trimtab.baseline_usd": _usd(trace.baseline),
        "trimtab.tokens.estimated": usage.estimated if counted else None,
        "trimtab.tokens.reasoning": usage.reasoning if counted and usage.reasoning else None,
    })  # fmt: skip


def _of_step(step: Step, began: int, code: str) -> Json:
    """A step's span, less its ids. A rung's tokens are under our own names: the request's span has those that count."""
    usage = step.usage
    found: Json = {
        "name": f"{step.stage} {step.by}".rstrip(), "kind": CLIENT if step.stage == "answer" else INTERNAL,
        **_times(began, step.ms),
        "attributes": attributes({
            "trimtab.stage": step.stage,
            "trimtab.by": step.by or None,
            "trimtab.ok": step.ok,
            "trimtab.code": code or None,
            "trimtab.score": step.score,
            "trimtab.cost_usd": _usd(step.cost) if step.cost != 0 else None,
            "trimtab.tokens.input": usage.prompt if usage else None,
            "trimtab.tokens.output": usage.completion if usage else None,
        }),
    }  # fmt: skip
    if code.partition(":")[0] in FAULTS:
        found["status"] = {"code": ERROR}
    return found


CRASHES = {"internal_error", "rung_crashed", "judge_crashed", "masking_failed", "engine_refused"}
FAULTS = CRASHES | {code for code, row in CODES.items() if row.of} - {"model_unfit", "bad_schema"}
"""Codes of steps that broke; a rung that passes or an answer that is doubted has not."""


def _code(step: Step, trace: Trace) -> str:
    """A step's code; that of the rung whose server refused the request is its server's, and may be any text."""
    if step.stage != "answer" or not step.code or step.code in CODES:
        return step.code
    theirs = trace.outcome == "error" and step.code == trace.code
    return OTHER if theirs or not (step.code.isascii() and step.code.replace("_", "").isalnum()) else step.code


def _finish(answer: Answer) -> str:
    return answer.finish if answer.finish in FINISHES else OTHER


def _numbers(params: Json) -> Json:
    return {
        f"gen_ai.request.{name}": value
        for key, name in NUMBERS.items()
        if type(value := params.get(key)) in (int, float)
    }


def _usd(nano: int | None) -> float | None:
    return None if nano is None else nano / 1e9


def _times(began: int, ms: float) -> Json:
    """Nanoseconds since the epoch, as decimal strings: JSON's numbers are too short for them."""
    return {"startTimeUnixNano": str(began), "endTimeUnixNano": str(began + int(ms * 1e6))}


def _value(value: Any) -> Json:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [_value(one) for one in value]}}
        case _:
            return {"stringValue": value}
