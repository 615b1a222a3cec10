"""OpenAI's chat format to a `Request`, and an outcome back to a completion. Pure, but for the clock and the id."""

import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, cast

import msgspec

from trimtab.errors import MalformedError, RequestError
from trimtab.escalate import common
from trimtab.money import from_usd, usd
from trimtab.record._otlp import parent
from trimtab.server.keys import PRIORITIES, Priority
from trimtab.server.shed import HEADER as PRIORITY
from trimtab.types import REGION, Answer, Json, Limits, Pending, Refused, Request, Trace, Usage, Wishes
from trimtab.verify.schema import check_request

WAITS = {
    "high_impact": "A wrong answer could do harm here, so a person releases it.",
    "doubted_answer": "The answer was doubted, so a person looks at it.",
    "unanswered": "No model could answer, so a person is asked.",
}
"""A ticket's reason for its client; what the operator reads may quote a rung's fault."""
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
NUMBER, OBJECT = (int, float), (dict,)
TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "n": ((int,), "a whole number"),
    "max_tokens": ((int,), "a whole number"),
    "max_completion_tokens": ((int,), "a whole number"),
    "seed": ((int,), "a whole number"),
    "top_logprobs": ((int,), "a whole number"),
    "temperature": (NUMBER, "a number"),
    "top_p": (NUMBER, "a number"),
    "presence_penalty": (NUMBER, "a number"),
    "frequency_penalty": (NUMBER, "a number"),
    "logprobs": ((bool,), "true or false"),
    "parallel_tool_calls": ((bool,), "true or false"),
    "stop": ((str, list), "a string or a list of strings"),
    "tools": ((list,), "a list of tools"),
    "tool_choice": ((str, dict), "a string or an object"),
    "function_call": ((str, dict), "a string or an object"),
    "response_format": (OBJECT, "an object"),
    "stream_options": (OBJECT, "an object"),
    "metadata": (OBJECT, "an object"),
    "user": ((str,), "a string"),
}
"""Parameters whose type is checked here, so that every rung may rely on it; all others pass as they came."""
FIELDS = (("refusal", str, "a string"), ("function_call", dict, "an object"))
"""Further fields of a message that are read here; null is as good as nothing."""
COUNTS = frozenset({"n", "max_tokens", "max_completion_tokens"})
CHOICES = 128
"""The most choices of one answer, as OpenAI has it: more is a way to spend a budget at once, not a wish."""
MINE = frozenset({"messages", "model", "stream", "trimtab"})
TIERS = {"flex": -1, "priority": 1}
"""Service tiers of OpenAI that say who may wait; the field is passed on as it came."""

Positive = Annotated[float, msgspec.Meta(gt=0)]
Region = Annotated[str, msgspec.Meta(pattern=REGION)]


class AskedLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`trimtab.limits` of the body: USD, seconds, and where and into which regions the text may go."""

    cost_usd: Annotated[float, msgspec.Meta(ge=0)] | None = None
    latency_s: Positive | None = None
    where: Literal["any", "local"] = "any"
    regions: Annotated[tuple[Region, ...], msgspec.Meta(min_length=1)] | None = None


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`trimtab` of the body (`extra_body` of the openai client)."""

    limits: AskedLimits = AskedLimits()
    cache: bool = True
    durable: bool = False
    priority: Priority | None = None
    reasoning: bool = False


class _Random:
    """Random bits from the system, fetched for many ids at once: a call of the kernel for each one costs more than
    the id. Workers are started afresh, never forked, so that no two have the same.
    """

    def __init__(self) -> None:
        self._bits, self._at = "", 0

    def bits(self) -> str:
        """80 bits in hexadecimal, each given out once."""
        if self._at >= len(self._bits):
            self._bits, self._at = secrets.token_hex(10 * 256), 0
        self._at += 20
        return self._bits[self._at - 20 : self._at]


_random = _Random()


NONE = Limits()
PLAIN = Asked()
"""A body without `trimtab`."""


def new_id() -> str:
    """A trace's id: sorts by time (milliseconds), and 80 random bits that nobody guesses."""
    return f"tr_{time.time_ns() // 1_000_000:012x}{_random.bits()}"


def request(body: Json, headers: Mapping[bytes, bytes], trace: str, principal: str = "local") -> Request:
    """The `Request` in a decoded body and its headers. Raises `MalformedError` that names the field and the fix."""
    params = {key: value for key, value in body.items() if key not in MINE}
    for key in params.keys() & TYPES.keys():
        if (value := params[key]) is not None:
            _check_type(key, value)
    asked = _asked(body.get("trimtab"))
    found = Request(
        id=trace, messages=_messages(body.get("messages")), params=params, principal=principal,
        limits=_limits(asked.limits, headers), wishes=_wishes(body, asked, headers),
        traceparent=_traceparent(headers) if b"traceparent" in headers else "",
    )  # fmt: skip
    check_request(found)
    return found


def renamed(error: RequestError, names: Iterable[tuple[str, str]]) -> RequestError:
    """The error with the chat's names of fields in the words of another format."""
    said, param = error.message, error.param
    for chat, theirs in names:
        said, param = said.replace(chat, theirs), param and param.replace(chat, theirs)
    return type(error)(said, error.fix, param=param, code=error.code, retry_after=error.retry_after)


def completion(outcome: Answer | Refused, trace: Trace, recorded: bool = False) -> Json:
    """A `chat.completion`: an answer, or a refusal as `message.refusal` with finish reason `content_filter`."""
    if isinstance(outcome, Refused):
        choices = [choice({"role": "assistant", "content": None, "refusal": refusal(outcome)}, "content_filter")]
        model, body, usage = trace.request.wishes.model, {}, trace.usage
    else:
        choices = [choice(message(outcome), outcome.finish, outcome.body.get("logprobs")), *further(outcome)]
        model, usage = outcome.model, outcome.usage
        body = {key: value for key, value in outcome.body.items() if key != "logprobs"}
    return {
        **body, "id": chat_id(trace.request.id), "object": "chat.completion", "created": int(trace.at), "model": model,
        "choices": choices, "usage": counted(usage), "trimtab": about(outcome, trace, recorded),
    }  # fmt: skip


def refusal(refused: Refused) -> str:
    """Why, in words for the client: what a crashed judge crashed with stays in the trace."""
    return "A check failed, so this was not answered." if refused.code == "judge_crashed" else refused.why


def message(answer: Answer) -> Json:
    """The assistant's message of an answer."""
    said = {"refusal": None, "annotations": [], **answer.extra, "role": "assistant", "content": answer.text}
    return {**said, "tool_calls": list(answer.tool_calls)} if answer.tool_calls else said


def choice(said: Json, finish: str, logprobs: Any = None) -> Json:
    return {"index": 0, "message": said, "logprobs": logprobs, "finish_reason": finish}


def further(answer: Answer) -> Iterator[Json]:
    """The choices after the first as their server gave them, with what the format promises where it left that out."""
    for i, given in enumerate(answer.choices, 1):
        said = {"role": "assistant", "content": None, "refusal": None, **(given.get("message") or {})}
        yield {"index": i, "logprobs": None, "finish_reason": "stop", **given, "message": said}


def counted(usage: Usage) -> Json:
    """OpenAI's usage object; `estimated` where no server counted the tokens."""
    return {
        "prompt_tokens": usage.prompt, "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning}, "estimated": usage.estimated,
    }  # fmt: skip


def about(outcome: Answer | Refused, trace: Trace, recorded: bool = False) -> Json:
    """The `trimtab` object of a response: who answered, how sure, at what cost. USD are exact strings, null unknown."""
    found: Json = {
        "trace": trace.request.id, "answered_by": trace.answered_by or None, "confidence": trace.confidence,
        "reasons": list(trace.decision.reasons) if trace.decision else [], "cost_usd": usd(trace.cost),
        "baseline_usd": usd(trace.baseline), "recorded": recorded,
    }  # fmt: skip
    if isinstance(outcome, Refused):
        spans = [msgspec.to_builtins(span) for span in outcome.spans]
        why = {"code": outcome.code, "why": refusal(outcome), "score": outcome.score, "spans": spans}
        return {**found, "refused": {"by": outcome.by, **why}}
    citations = [msgspec.to_builtins(citation) for citation in outcome.citations]
    resumed = {"resumed": {"by": outcome.model, "after": list(outcome.resumed)}} if outcome.resumed else {}
    return {**found, "label": outcome.label, "citations": citations, **resumed}


def headers(trace: Trace) -> list[tuple[bytes, bytes]]:
    """The same in short, for clients that read headers; a header that is not there is unknown."""
    found = of_trace(trace.request.id)
    if trace.answered_by:
        found.append((b"x-trimtab-model", ascii_of(trace.answered_by)))
    if trace.decision:
        found.append((b"x-trimtab-reasons", ascii_of(",".join(trace.decision.reasons))))
    if (cost := usd(trace.cost)) is not None:
        found.append((b"x-trimtab-cost-usd", cost.encode()))
    return found


def of_trace(trace: str) -> list[tuple[bytes, bytes]]:
    return [(b"x-request-id", trace.encode()), (b"x-trimtab-trace", trace.encode())]


def chat_id(trace: str) -> str:
    return f"chatcmpl-{trace.removeprefix('tr_')}"


def waiting(pending: Pending, trace: Trace) -> Json:
    """The error object of a 428: a person decides; the client asks again at `url`."""
    why = WAITS.get(pending.code, "A person decides.")
    return {
        "message": f"{why} Ask again at /approvals/{pending.ticket}.",
        "type": "approval_required", "param": None, "code": "approval_required", "reason": pending.code,
        "ticket": pending.ticket, "url": f"/approvals/{pending.ticket}", "digest": pending.digest,
        "expires": pending.expires, "trace": trace.request.id, "why": why, "cost_usd": usd(trace.cost),
        "reasons": list(trace.decision.reasons) if trace.decision else [], "tried": tried(trace),
    }  # fmt: skip


def tried(trace: Trace) -> list[Json]:
    """Which rungs were asked and why each did not do, in codes: what they said in words stays with the operator."""
    return [
        {"by": step.by, "code": step.code} for step in trace.steps if step.stage in ("answer", "verify") and not step.ok
    ]


def ascii_of(text: str) -> bytes:
    """A header's value: line ends and letters beyond ASCII would break the response."""
    return bytes(byte if 31 < byte < 127 else 63 for byte in text.encode("ascii", "replace"))


def _messages(given: Any) -> tuple[Json, ...]:
    if not isinstance(given, list) or not given:
        raise _wrong("messages", "a list with at least one message")
    for i, said in enumerate(cast("list[Any]", given)):
        _check_message(said, f"messages[{i}]")
    return tuple(cast("list[Json]", given))


def _check_message(said: Any, path: str) -> None:
    if type(said) is not dict:
        raise _wrong(path, "an object with a role and a content")
    role, content = said.get("role"), said.get("content")
    if type(role) is not str or role not in ROLES:
        raise _wrong(f"{path}.role", f"one of {', '.join(sorted(ROLES))}")
    if type(content) is str:
        pass
    elif type(content) is list:
        _check_parts(cast("list[Any]", content), f"{path}.content")
    elif content is not None or role != "assistant":
        raise _wrong(f"{path}.content", "a string or a list of parts")
    for name, kind, must in FIELDS:
        if type(said.get(name, None)) not in (kind, type(None)):
            raise _wrong(f"{path}.{name}", must)
    if said.get("tool_calls") is not None:
        _check_calls(said["tool_calls"], f"{path}.tool_calls")


def _check_parts(parts: list[Any], path: str) -> None:
    for i, part in enumerate(parts):
        if type(part) is not dict or type(part.get("type")) is not str:
            raise _wrong(f"{path}[{i}]", "an object with a type")
        if part["type"] == "text" and type(part.get("text")) is not str:
            raise _wrong(f"{path}[{i}].text", "a string")


def _check_calls(calls: Any, path: str) -> None:
    if type(calls) is not list:
        raise _wrong(path, "a list of tool calls")
    for i, call in enumerate(cast("list[Any]", calls)):
        if type(call) is not dict or type(call.get("function", {})) is not dict:
            raise _wrong(f"{path}[{i}]", "an object with a function")
        if type(call.get("function", {}).get("arguments", "")) is not str:
            raise _wrong(f"{path}[{i}].function.arguments", "a string of JSON")


def _check_type(key: str, value: Any) -> None:
    kinds, name = TYPES[key]
    if type(value) not in kinds:
        raise _wrong(key, name)
    if key in COUNTS and value < 1:
        raise _wrong(key, "at least 1")
    if key == "n" and value > CHOICES:
        raise _wrong(key, f"at most {CHOICES}")
    if key == "tools" and not all(type(tool) is dict for tool in value):
        raise _wrong(key, "a list of objects")


def _wishes(body: Json, asked: Asked, headers: Mapping[bytes, bytes]) -> Wishes:
    stream = bool(_of(body, "stream", bool, "true or false"))
    model = _of(body, "model", str, "a string") or "auto"
    return Wishes(
        model=model, stream=stream, durable=asked.durable, cache=asked.cache,
        priority=_priority(body, asked, headers), reasoning=asked.reasoning,
    )  # fmt: skip


def _priority(body: Json, asked: Asked, headers: Mapping[bytes, bytes]) -> int:
    """The lower of the body's and the header's; where neither says one, what OpenAI's `service_tier` comes to."""
    said = [PRIORITIES[asked.priority]] if asked.priority else []
    if (raw := headers.get(PRIORITY)) is not None:
        if (wish := PRIORITIES.get(raw.decode("latin-1"))) is None:
            raise _wrong(PRIORITY.decode(), f"one of {', '.join(PRIORITIES)}")
        said.append(wish)
    tier = body.get("service_tier")
    return min(said) if said else TIERS.get(tier, 0) if isinstance(tier, str) else 0


def _asked(given: Any) -> Asked:
    if given is None:
        return PLAIN
    try:
        return msgspec.convert(given, Asked)
    except msgspec.ValidationError as error:
        raise RequestError(
            f"trimtab: {error}.",
            "It takes limits {cost_usd, latency_s, where, regions}, cache, durable, priority and reasoning.",
            param="trimtab",
        ) from error


def _limits(asked: AskedLimits, headers: Mapping[bytes, bytes]) -> Limits:
    """The stricter of the body's limits and the headers'."""
    if asked is PLAIN.limits and not any(name.startswith(b"x-trimtab-") for name in headers):
        return NONE
    cost = _least(asked.cost_usd, _number(headers, b"x-trimtab-max-cost"))
    latency = _least(asked.latency_s, _number(headers, b"x-trimtab-max-latency"))
    if latency == 0:
        raise _wrong("x-trimtab-max-latency", "seconds, more than 0")
    where = headers.get(b"x-trimtab-where", b"any").decode("latin-1")
    if where not in ("any", "local"):
        raise _wrong("x-trimtab-where", "any or local")
    local = "local" in (where, asked.where)
    nano = None if cost is None else from_usd(cost)
    regions = common(asked.regions, of_header(headers.get(b"x-trimtab-regions")))
    return Limits(cost=nano, latency=latency, where="local" if local else "any", regions=regions)


def of_header(raw: bytes | None) -> tuple[str, ...] | None:
    """The regions in `x-trimtab-regions`, None without one. Raises `MalformedError`."""
    if raw is None:
        return None
    found = tuple(name.strip() for name in raw.decode("latin-1").split(","))
    if not all(re.fullmatch(REGION, name) for name in found):
        raise _wrong("x-trimtab-regions", "regions in small letters with commas between them, such as eu-west-1")
    return found


def _traceparent(headers: Mapping[bytes, bytes]) -> str:
    """The client's span; a header that is none of the standard's is left out, as the standard says."""
    given = headers[b"traceparent"].decode("latin-1").strip()
    return given if parent(given) else ""


def _number(headers: Mapping[bytes, bytes], name: bytes) -> float | None:
    if (raw := headers.get(name)) is None:
        return None
    try:
        value = float(raw)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise _wrong(name.decode(), "a number, 0 or more")
    return value


def _least(*found: float | None) -> float | None:
    return min((value for value in found if value is not None), default=None)


def _of(body: Json, key: str, kind: type, name: str) -> Any:
    value = body.get(key)
    if value is not None and type(value) is not kind:
        raise _wrong(key, name)
    return value


def _wrong(param: str, must: str) -> MalformedError:
    return MalformedError(f"{param} is missing or wrong.", f"It must be {must}.", param=param)
