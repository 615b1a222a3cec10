"""Anthropic's Messages format to a `Request`, and an outcome back to a message. Pure, but for the clock and the id."""

from collections.abc import Mapping
from typing import Any, cast

from trimtab.answer import _message, _parameters, _turns
from trimtab.answer._blocks import texts
from trimtab.errors import MalformedError, RequestError
from trimtab.server import openai
from trimtab.server.faults import error_object
from trimtab.types import Answer, Json, Pending, Refused, Request, Trace, Usage

ROLES = frozenset({"user", "assistant", "system"})
BETA = b"anthropic-beta"
MINE = frozenset({"messages", "system", "model", "stream", "trimtab"})
LISTS = ("tools", "stop_sequences")
OBJECTS = ("tool_choice", "metadata", "thinking", "output_config")
RENAMED = (
    ("response_format.json_schema.schema", "output_config.format.schema"), ("response_format", "output_config.format"),
    (".function.parameters", ".input_schema"),
)  # fmt: skip
"""How the chat's checks name a field, and how a client of this format does."""
REASONS = {
    "stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "function_call": "tool_use",
    "content_filter": "refusal",
}  # fmt: skip
TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 413: "request_too_large", 421: "permission_error", 428: "approval_required",
    429: "rate_limit_error", 503: "overloaded_error", 504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip
"""Anthropic's error types by status; `approval_required` is ours."""
FURTHER = frozenset({"anthropic", "logprobs"})
OPEN: Json = dict.fromkeys(("stop_reason", "stop_sequence", "stop_details", "container"))
"""What a message says of its end while it has none."""
PROMISED: dict[str, Json] = {"text": {"citations": None}, "tool_use": {"caller": _turns.DIRECT}}
"""What every block of that type has, where its model's server says nothing else."""
UNCOUNTED: Json = dict.fromkeys(
    ("cache_creation", "inference_geo", "output_tokens_details", "server_tool_use", "service_tier")
)
"""Fields of a usage that Anthropic's own servers alone know."""


def request(body: Json, headers: Mapping[bytes, bytes], trace: str) -> Request:
    """The `Request` in a decoded body and its headers. Raises `MalformedError` that names the field and the fix."""
    check(body)
    params = _parameters.chat({key: value for key, value in body.items() if key not in MINE})
    if betas := [name for part in headers.get(BETA, b"").decode("latin-1").split(",") if (name := part.strip())]:
        params["betas"] = betas
    mine = {key: body[key] for key in ("model", "stream", "trimtab") if key in body}
    try:
        return openai.request({**params, **mine, "messages": chat(body)}, headers, trace)
    except RequestError as error:
        raise openai.renamed(error, RENAMED) from error


def chat(body: Json) -> list[Json]:
    """The chat messages of a checked body."""
    return _turns.chat(body.get("system"), body["messages"])


def message(outcome: Answer | Refused, trace: Trace, recorded: bool = False) -> Json:
    """A `message`: an answer, or a refusal as its text with the stop reason `refusal`."""
    model = outcome.model if isinstance(outcome, Answer) else trace.request.wishes.model
    return {
        **OPEN, **_further(outcome), **shell(trace.request.id, model),
        "content": blocks(outcome), **end(outcome),
        "usage": counted(outcome, trace), "trimtab": openai.about(outcome, trace, recorded),
    }  # fmt: skip


def shell(trace: str, model: str) -> Json:
    """A message before it says anything."""
    found: Json = {"id": f"msg_{trace.removeprefix('tr_')}", "type": "message", "role": "assistant", "model": model}
    return {**found, "content": []}


def blocks(outcome: Answer | Refused) -> list[Json]:
    """The content of an outcome."""
    if isinstance(outcome, Refused):
        return [{"type": "text", "text": openai.refusal(outcome), "citations": None}]
    return [{**PROMISED.get(block["type"], {}), **block} for block in _message.blocks(outcome)]


def end(outcome: Answer | Refused) -> Json:
    """Why it ended: the server's own word where it spoke this protocol."""
    if isinstance(outcome, Refused):
        details = {"type": "refusal", "category": None, "explanation": openai.refusal(outcome)}
        return {"stop_reason": "refusal", "stop_sequence": None, "stop_details": details}
    own = of_server(outcome)
    reason = "tool_use" if outcome.tool_calls and outcome.finish == "stop" else REASONS.get(outcome.finish)
    found = {
        "stop_reason": own.get("stop_reason") or reason or outcome.finish,
        "stop_sequence": own.get("stop_sequence"),
    }
    return {**found, "stop_details": own.get("stop_details")}


def counted(outcome: Answer | Refused, trace: Trace) -> Json:
    """Anthropic's usage object, in the server's own words where it spoke this protocol."""
    usage = outcome.usage if isinstance(outcome, Answer) else trace.usage
    own = of_server(outcome).get("usage")
    return {**tokens(usage), **(cast("Json", own) if isinstance(own, dict) else {}), "estimated": usage.estimated}


def of_server(outcome: Answer | Refused) -> Json:
    """What a server of this protocol said besides its blocks; nothing where another one has a field of that name."""
    own = outcome.body.get("anthropic") if isinstance(outcome, Answer) else None
    return cast("Json", own) if isinstance(own, dict) else {}


def tokens(usage: Usage) -> Json:
    """What was read from a cache or written to it is counted apart."""
    written, long = usage.cache_write, usage.cache_write_long
    return {
        **UNCOUNTED,
        "input_tokens": max(0, usage.prompt - usage.cached - written), "output_tokens": usage.completion,
        "cache_creation_input_tokens": written, "cache_read_input_tokens": usage.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": written - long, "ephemeral_1h_input_tokens": long},
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
    }  # fmt: skip


def error(status: int, found: Json, trace: str = "") -> Json:
    """Anthropic's error object, of one of OpenAI's."""
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"type": "error", "error": {**found, "type": kind}, "request_id": trace or None}


def failure(status: int, fault: BaseException, trace: str = "") -> Json:
    """The error object of a fault."""
    return error(status, error_object(fault, trace), trace)


def waiting(pending: Pending, trace: Trace) -> Json:
    """The error object of a 428: a person decides; the client asks again at `url`."""
    return error(428, openai.waiting(pending, trace), trace.request.id)


def prompt(body: Json) -> list[str]:
    """Every text of a checked body that a model would read: the messages', the system's, and the tools'."""
    said: list[str] = []
    for given in (body.get("system"), *(turn.get("content") for turn in body["messages"])):
        items: list[Any] = [{"text": given}] if isinstance(given, str) else list(given or ())
        said += [text for block in items for _, text in texts(block)]
    for tool in body.get("tools") or ():
        said += [text for _, text in texts(tool, deep=True)]
    return said


def check(body: Json) -> None:
    """Raises `MalformedError` for a body that cannot be translated, in this format's words."""
    turns = body.get("messages")
    if not isinstance(turns, list) or not turns:
        raise _wrong("messages", "a list with at least one message")
    for i, turn in enumerate(cast("list[Any]", turns)):
        _check_turn(turn, f"messages[{i}]")
    if body.get("system") is not None:
        _check_content(body["system"], "system")
    for name, kind, must in (*((name, list, "a list") for name in LISTS), *((o, dict, "an object") for o in OBJECTS)):
        if body.get(name) is not None and not isinstance(body[name], kind):
            raise _wrong(name, must)
    for i, tool in enumerate(body.get("tools") or ()):
        if not isinstance(tool, dict) or not isinstance(tool.get("name", ""), str):  # pyright: ignore[reportUnknownMemberType]
            raise _wrong(f"tools[{i}]", "an object with a name")


def _check_turn(turn: Any, path: str) -> None:
    role = cast("Json", turn).get("role") if isinstance(turn, dict) else None
    if not isinstance(role, str) or role not in ROLES:
        raise _wrong(path, "an object with the role user or assistant, and a content")
    _check_content(cast("Json", turn).get("content"), f"{path}.content")


def _check_content(given: Any, path: str) -> None:
    if isinstance(given, str):
        return
    if not isinstance(given, list):
        raise _wrong(path, "a string or a list of blocks")
    for i, block in enumerate(cast("list[Any]", given)):
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):  # pyright: ignore[reportUnknownMemberType]
            raise _wrong(f"{path}[{i}]", "an object with a type")
        _check_block(cast("Json", block), f"{path}[{i}]")


def _check_block(block: Json, path: str) -> None:
    kind = block["type"]
    if kind in ("text", "thinking") and not isinstance(block.get(kind), str):
        raise _wrong(f"{path}.{kind}", "a string")
    if kind == "tool_use" and not (isinstance(block.get("name"), str) and isinstance(block.get("input", {}), dict)):
        raise _wrong(path, "a tool_use with a name and an input object")
    if kind == "tool_result":
        if not isinstance(block.get("tool_use_id"), str):
            raise _wrong(f"{path}.tool_use_id", "the id of a tool_use")
        if block.get("content") is not None:
            _check_content(block["content"], f"{path}.content")


def _further(outcome: Answer | Refused) -> Json:
    """What the server said besides."""
    if isinstance(outcome, Refused):
        return {}
    own = of_server(outcome)
    more = {"choices": list(outcome.choices)} if outcome.choices else {}
    return {**{key: value for key, value in outcome.body.items() if key not in FURTHER}, **own, **more}


def _wrong(param: str, must: str) -> MalformedError:
    return MalformedError(f"{param} is missing or wrong.", f"It must be {must}.", param=param)
