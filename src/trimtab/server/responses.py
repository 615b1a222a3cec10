"""POST /v1/responses: OpenAI's Responses format to a `Request`, and an outcome back to a `response`.

Nothing is stored between calls: a client sends the whole conversation each time (`store: false`), and what would need
a memory is refused with what to do instead.
"""

import time
from collections.abc import Mapping
from typing import Any, cast

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from trimtab.errors import MalformedError, NotFoundError, RequestError
from trimtab.server import history, items, openai
from trimtab.server.exchange import Single
from trimtab.server.items import Names, flat, rest, wrong
from trimtab.server.lifecycle import Lifecycle
from trimtab.server.limits import Send
from trimtab.types import Answer, Json, Refused, Request, Trace, Usage

ECHOED: Json = {
    "background": False, "frequency_penalty": 0.0, "instructions": None, "max_output_tokens": None,
    "max_tool_calls": None, "metadata": {}, "parallel_tool_calls": True, "presence_penalty": 0.0,
    "prompt_cache_key": None, "safety_identifier": None, "service_tier": "default", "temperature": 1.0,
    "tool_choice": "auto", "top_logprobs": 0, "top_p": 1.0,
}  # fmt: skip
"""Fields that a response repeats from its request, with what they are where the client says nothing."""
SAME = frozenset({"model", "stream", "trimtab"})
OTHERWISE = frozenset({
    "input", "instructions", "tools", "tool_choice", "text", "reasoning", "max_output_tokens", "store", "include",
    "previous_response_id", "conversation", "prompt", "background", "truncation", "max_tool_calls", "client_metadata",
    "context_management", "moderation", "n",
})  # fmt: skip
"""Fields that the chat format has under another name, or that end here; all others are passed on as they came.

`max_tool_calls` counts the calls of tools that a provider runs, of which there are none here; `truncation` is always
`disabled`; `client_metadata` is Codex telling OpenAI about itself.
"""
MEMORY = "Send the whole conversation in input: this gateway stores no responses."
CANNOT: dict[str, str] = {
    "previous_response_id": MEMORY,
    "conversation": MEMORY,
    "prompt": "Send the prompt's text in instructions and input: this gateway keeps no prompts.",
    "background": 'Wait for the response, or stream it with "stream": true.',
    "context_management": "Shorten the conversation before you send it.",
    "moderation": "Configure a [[guard]]: it judges every request.",
}
"""What is refused where it asks for something, and what to do instead."""
RENAMED = (
    ("response_format.json_schema.schema", "text.format.schema"), ("response_format", "text.format"),
    ("max_completion_tokens", "max_output_tokens"), (".function.parameters", ".parameters"),
)  # fmt: skip
"""How the chat's checks name a field, and how a client of this format does."""
INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def opened(body: Json, headers: Mapping[bytes, bytes], trace: str, send: Send) -> Single:
    """The exchange that a body opens. Raises `RequestError`s that name the field in this format's words."""
    found, names = request(body, headers, trace)
    shell = begun(body, trace)

    def whole(outcome: Answer | Refused, trace: Trace, recorded: bool) -> Json:
        return response(shell, outcome, trace, recorded, names)

    return Single(found, Lifecycle(send, found, shell, names, whole) if found.wishes.stream else None, whole)


def request(body: Json, headers: Mapping[bytes, bytes], trace: str) -> tuple[Request, Names]:
    """The `Request` in a body, and what the functions' names stand for. Raises `RequestError`s."""
    for name, fix in CANNOT.items():
        if body.get(name):
            raise RequestError(f"{name} cannot be kept here.", fix, param=name, code="unsupported_parameter")
    if body.get("n") not in (None, 1):
        raise RequestError("A response has one answer.", "Leave n out, or ask /v1/chat/completions.", param="n")
    tools, names = _tools(body.get("tools"))
    chat = {name: value for name, value in body.items() if name in SAME or name not in OTHERWISE}
    chat |= {"messages": history.messages(body.get("input"), body.get("instructions")), **_wanted(body)}
    chat |= {"tools": tools} if tools else {}
    try:
        return openai.request(chat, headers, trace), names
    except RequestError as error:
        raise openai.renamed(error, RENAMED) from error


def begun(body: Json, trace: str) -> Json:
    """The response as long as nothing is known of its answer."""
    given = {name: body[name] for name in ECHOED if body.get(name) is not None}
    return {
        **ECHOED, **given, "id": f"resp_{_key(trace)}", "object": "response", "created_at": int(time.time()),
        "completed_at": None, "status": "in_progress", "error": None, "incomplete_details": None,
        "model": body.get("model") or "auto", "output": [], "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None, **(body.get("reasoning") or {})},
        "text": {"format": {"type": "text"}, **(body.get("text") or {})},
        "tools": [_shown(tool) for tool in body.get("tools") or ()], "store": False, "truncation": "disabled",
        "usage": None, "user": body.get("user"),
    }  # fmt: skip


def response(shell: Json, outcome: Answer | Refused, trace: Trace, recorded: bool, names: Names) -> Json:
    """The finished response; a refusal is one whose message has a refusal and no text."""
    key = _key(trace.request.id)
    found = {**shell, "completed_at": int(time.time()), "trimtab": openai.about(outcome, trace, recorded)}
    if isinstance(outcome, Refused):
        said = items.message(f"msg_{key}", [items.refusal_part(openai.refusal(outcome))])
        return {**found, "status": "completed", "output": [said], "usage": counted(trace.usage)}
    why = INCOMPLETE.get(outcome.finish)
    return {
        **rest(outcome.body, ("logprobs", *(shell.keys() - {"service_tier"}))), **found, **_tier(outcome),
        "model": outcome.model, "output": items.output(outcome, key, names), "usage": counted(outcome.usage),
        "status": "incomplete" if why else "completed", "incomplete_details": {"reason": why} if why else None,
    }  # fmt: skip


def counted(usage: Usage) -> Json:
    """The usage object; 0 tokens of reasoning also where a model's server does not tell them apart."""
    return {
        "input_tokens": usage.prompt, "output_tokens": usage.completion,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "output_tokens_details": {"reasoning_tokens": usage.reasoning}, "total_tokens": usage.prompt + usage.completion,
        "estimated": usage.estimated,
    }  # fmt: skip


async def stored(request: HttpRequest) -> Response:
    """The routes of what OpenAI stores, counts and compacts. Raises `NotFoundError`, always."""
    raise NotFoundError(f"There is no {request.url.path[:80]}.", MEMORY, code="nothing_stored")


def _wanted(body: Json) -> Json:
    """The chat parameters of fields that have another name or shape here."""
    found: Json = {}
    if body.get("max_output_tokens") is not None:
        found["max_completion_tokens"] = body["max_output_tokens"]
    if body.get("store") is False:  # true asks for what is not done here, nor may it be done upstream
        found["store"] = False
    if body.get("tool_choice") is not None:
        found["tool_choice"] = _choice(body["tool_choice"])
    return {**found, **_text(_object(body, "text")), **_thinking(_object(body, "reasoning")), **_logprobs(body)}


def _text(text: Json) -> Json:
    found: Json = {"verbosity": text["verbosity"]} if text.get("verbosity") is not None else {}
    found |= {"text": further} if (further := rest(text, ("format", "verbosity"))) else {}
    wanted = text.get("format")
    if wanted is None:
        return found
    if not isinstance(wanted, dict):
        raise wrong("text.format", "an object")
    form = cast("Json", wanted)
    if form.get("type") == "json_schema":
        form = {"type": "json_schema", "json_schema": rest(form, ("type",))}
        if "schema" not in form["json_schema"]:
            raise wrong("text.format.schema", "a JSON Schema")
    return found if form == {"type": "text"} else {**found, "response_format": form}


def _thinking(reasoning: Json) -> Json:
    """`reasoning_effort`; a summary is what the model's server shows of its reasoning."""
    further = rest(reasoning, ("effort", "summary", "generate_summary"))
    found: Json = {"reasoning": further} if further else {}
    return {**found, "reasoning_effort": reasoning["effort"]} if reasoning.get("effort") is not None else found


def _logprobs(body: Json) -> Json:
    include = body.get("include") or []
    if not isinstance(include, list):
        raise wrong("include", "a list of strings")
    return {"logprobs": True} if "message.output_text.logprobs" in include or body.get("top_logprobs") else {}


def _tools(given: Any) -> tuple[list[Json], Names]:
    """The chat's tools, and the namespaces' functions by the names they have there."""
    if given is not None and not isinstance(given, list):
        raise wrong("tools", "a list of tools")
    tools: list[Json] = []
    names: dict[str, tuple[str, str]] = {}
    for i, tool in enumerate(cast("list[Any]", given or [])):
        if not isinstance(tool, dict):
            raise wrong(f"tools[{i}]", "an object")
        known = cast("Json", tool)
        inner = known.get("tools") if known.get("type") == "namespace" else [known]
        if not isinstance(inner, list):
            raise wrong(f"tools[{i}].tools", "a list of tools")
        space = items.string(known, "name", f"tools[{i}]") if known.get("type") == "namespace" else ""
        for found in cast("list[Any]", inner):
            tools.append(one := _tool(found, f"tools[{i}]", space, known))
            names |= {one[one["type"]]["name"]: (space, found["name"])} if space else {}
    _check_names(tools)
    return tools, names


def _tool(tool: Any, path: str, space: str, outer: Json) -> Json:
    """One tool in the chat's shape; a namespace's description goes with each of its functions."""
    kind = cast("Json", tool).get("type") if isinstance(tool, dict) else None
    if kind not in ("function", "custom"):
        raise RequestError(
            f"{path} has the type {str(kind)[:60]!r}: no model here runs such a tool itself.",
            f'Leave it out, or send it as a function of your own. (Codex: -c {str(kind)[:60]}="disabled".)'
            if kind == "web_search" else "Leave it out, or send it as a function of your own.",
            param=path, code="unsupported_tool",
        )  # fmt: skip
    body = {name: value for name, value in rest(cast("Json", tool), ("type",)).items() if value is not None}
    body["name"] = flat(space, items.string(body, "name", path))
    if space and outer.get("description"):
        body["description"] = f"{outer['description']}\n\n{body.get('description', '')}".strip()
    if kind == "custom" and isinstance(form := body.get("format"), dict) and form.get("type") == "grammar":
        body["format"] = {"type": "grammar", "grammar": rest(cast("Json", form), ("type",))}
    return {"type": kind, kind: body}


def _check_names(tools: list[Json]) -> None:
    seen: set[str] = set()
    for tool in tools:
        if (name := tool[tool["type"]]["name"]) in seen:
            raise MalformedError(f"Two tools are called {name!r}.", "Give each a name of its own.", param="tools")
        seen.add(name)


def _choice(given: Any) -> Any:
    """The chat's tool choice."""
    if not isinstance(given, dict):
        return given
    choice = cast("Json", given)
    kind = choice.get("type")
    if kind in ("function", "custom"):
        space = items.string(choice, "namespace", "tool_choice") if choice.get("namespace") is not None else ""
        name = flat(space, items.string(choice, "name", "tool_choice"))
        return {"type": kind, kind: {**rest(choice, ("type", "namespace")), "name": name}}
    if kind == "allowed_tools":
        if not isinstance(choice.get("tools"), list):
            raise wrong("tool_choice.tools", "a list of tools")
        return {"type": kind, kind: {**rest(choice, ("type",)), "tools": [_choice(tool) for tool in choice["tools"]]}}
    raise RequestError(
        f"tool_choice has the type {str(kind)[:60]!r}: no model here runs such a tool itself.",
        "Send auto, none, required, or the name of a function.", param="tool_choice", code="unsupported_tool",
    )  # fmt: skip


def _shown(tool: Json) -> Json:
    """A tool as a response repeats it, with every field that the format promises."""
    blank = {"description": None, "parameters": None, "strict": None} if tool.get("type") == "function" else {}
    return {**blank, **tool}


def _object(body: Json, name: str) -> Json:
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise wrong(name, "an object")
    return cast("Json", value or {})


def _tier(answer: Answer) -> Json:
    return {"service_tier": answer.body["service_tier"]} if answer.body.get("service_tier") else {}


def _key(trace: str) -> str:
    return trace.removeprefix("tr_")
