"""Anthropic's parameters as those of a chat, and back; what has no counterpart passes as it came. Pure."""

from typing import Any, cast

from trimtab.answer._blocks import Untranslatable
from trimtab.types import Json

VOID = frozenset({
    "seed", "presence_penalty", "frequency_penalty", "logit_bias", "top_logprobs", "store", "modalities", "audio",
    "prediction", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "verbosity", "stream_options",
    "web_search_options",
})  # fmt: skip
"""Parameters of OpenAI's that Anthropic refuses and that only tune an answer: left out, as Anthropic's own endpoint for
OpenAI's protocol does (platform.claude.com/docs/en/api/openai-sdk)."""
TRANSLATED = frozenset({
    "n", "logprobs", "max_tokens", "max_completion_tokens", "stop", "temperature", "top_p", "tools", "tool_choice",
    "parallel_tool_calls", "functions", "function_call", "response_format", "reasoning_effort", "user", "metadata",
    "service_tier", "output_config", "thinking",
})  # fmt: skip
BUDGETS = {"low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 32768}
"""Tokens to think for each effort that a chat asks for; Anthropic's least budget is 1,024."""
LEAST = 1024
JSON_ONLY = "Answer with one JSON object and nothing else."
CHOICES = {"auto": "auto", "any": "required", "none": "none"}
NO_INPUT: Json = {"type": "object", "properties": {}}


def chat(given: Json) -> Json:
    """A chat's parameters of a checked Anthropic request, less its messages."""
    found = dict(given)
    if stop := found.pop("stop_sequences", None):
        found["stop"] = stop
    if isinstance(found.get("metadata"), dict):
        found |= _user(found.pop("metadata"))
    if tools := found.pop("tools", None):
        found["tools"] = [tool(one) for one in tools]
    found |= _choice(found.pop("tool_choice", None))
    if isinstance(found.get("output_config"), dict):
        found |= _output(found.pop("output_config"))
    if "reasoning_effort" not in found and (effort := _effort(found.get("thinking"))):
        found["reasoning_effort"] = effort
    return found


def tool(given: Json) -> Json:
    """A chat's tool; one that the server runs keeps its type, and has its name where every tool of a chat has it."""
    kind = given.get("type") or "custom"
    if kind != "custom":
        return {**given, "function": {"name": given.get("name") or kind}}
    rest = {k: v for k, v in given.items() if k not in ("type", "name", "description", "input_schema", "strict")}
    function = {k: given[k] for k in ("name", "description", "strict") if given.get(k) is not None}
    if given.get("input_schema") is not None:
        function["parameters"] = given["input_schema"]
    return {"type": "function", "function": function, **rest}


def anthropic(given: Json, most: int) -> tuple[Json, str | None]:
    """Anthropic's parameters of a chat's, and a sentence for the system prompt; `most` tokens where it says none.

    Raises `Untranslatable` for what it cannot do.
    """
    _check(given)
    found = {k: v for k, v in given.items() if k not in VOID | TRANSLATED and v is not None}
    limit = given.get("max_completion_tokens") or given.get("max_tokens")
    found["max_tokens"] = limit or most
    if stop := given.get("stop"):
        found["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    found |= {k: given[k] for k in ("top_p", "thinking", "output_config") if given.get(k) is not None}
    if given.get("temperature") is not None:
        found["temperature"] = min(given["temperature"], 1)  # OpenAI's scale goes to 2
    if user := given.get("user") or (given.get("metadata") or {}).get("user_id"):
        found["metadata"] = {"user_id": user}
    if given.get("service_tier") in ("auto", "standard_only"):
        found["service_tier"] = given["service_tier"]
    found |= _tools(given)
    said = _format(given, found)
    if "thinking" not in found and "effort" not in found.get("output_config", {}):
        _think(given, found, bool(limit))
    return found, said


def _check(given: Json) -> None:
    if (given.get("n") or 1) > 1:
        raise Untranslatable("one_choice_only", "This model gives one answer to a request (n = 1).")
    if given.get("logprobs"):
        raise Untranslatable("no_logprobs", "This model does not tell the probabilities of its tokens.")


def _user(metadata: Json) -> Json:
    rest = {key: value for key, value in metadata.items() if key != "user_id"}
    user = {"user": metadata["user_id"]} if isinstance(metadata.get("user_id"), str) else {}
    return {**user, **({"metadata": rest} if rest else {})}


def _choice(given: Any) -> Json:
    if not isinstance(given, dict):
        return {}
    known = cast("Json", given)
    kind, found = known.get("type"), dict[str, Any]()
    if kind == "tool":
        found["tool_choice"] = {"type": "function", "function": {"name": known.get("name")}}
    else:
        found["tool_choice"] = CHOICES.get(str(kind), kind)
    if "disable_parallel_tool_use" in known:
        found["parallel_tool_calls"] = not known["disable_parallel_tool_use"]
    return found


def _output(given: Json) -> Json:
    """`response_format` and `reasoning_effort`; what else there is stays under its name."""
    rest, found = dict(given), dict[str, Any]()
    wanted = rest.get("format")
    if isinstance(wanted, dict) and cast("Json", wanted).get("type") == "json_schema":
        named = {"name": "answer", "schema": rest.pop("format").get("schema", {}), "strict": True}
        found["response_format"] = {"type": "json_schema", "json_schema": named}
    if isinstance(rest.get("effort"), str):
        found["reasoning_effort"] = rest["effort"]
    return {**found, **({"output_config": rest} if rest else {})}


def _effort(thinking: Any) -> str | None:
    """The effort whose budget comes nearest to the one given."""
    budget = cast("Json", thinking).get("budget_tokens") if isinstance(thinking, dict) else None
    if not isinstance(budget, int):
        return None
    return next((name for name in ("low", "medium") if budget <= BUDGETS[name]), "high")


def _tools(given: Json) -> Json:
    tools = given.get("tools") or [{"type": "function", "function": one} for one in given.get("functions") or ()]
    found: Json = {"tools": [_tool(one) for one in tools]} if tools else {}
    choice = given.get("tool_choice") or _old_choice(given.get("function_call"))
    parallel = given.get("parallel_tool_calls")
    if not tools or (choice is None and parallel is None):
        return found
    chosen = _chosen(choice)
    if parallel is not None and chosen["type"] != "none":
        chosen["disable_parallel_tool_use"] = not parallel
    return {**found, "tool_choice": chosen}


def _tool(given: Json) -> Json:
    if given.get("type") == "custom":
        raise Untranslatable("unsupported_tool", "This model has no tools of free text.")
    function: Json = given.get("function") or {}
    rest = {key: value for key, value in given.items() if key not in ("type", "function")}
    if given.get("type") not in (None, "function"):
        return {"type": given["type"], **rest}
    schema = function.get("parameters")
    named = {k: v for k, v in function.items() if k != "parameters" and v is not None}
    return {**named, "input_schema": NO_INPUT if schema is None else schema, **rest}


def _old_choice(given: Any) -> Any:
    return {"type": "function", "function": given} if isinstance(given, dict) else given


def _chosen(choice: Any) -> Json:
    if isinstance(choice, dict):
        function = cast("Json", choice).get("function")
        if not isinstance(function, dict):
            raise Untranslatable("unsupported_tool", f"This model has no tool choice {choice.get('type')!r}.")  # pyright: ignore[reportUnknownMemberType]
        return {"type": "tool", "name": cast("Json", function).get("name")}
    names = {ours: theirs for theirs, ours in CHOICES.items()}
    return {"type": names.get(choice or "auto", choice)}


def _format(given: Json, found: Json) -> str | None:
    wanted = given.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        schema = (wanted.get("json_schema") or {}).get("schema", {"type": "object"})
        found["output_config"] = {**found.get("output_config", {}), "format": {"type": "json_schema", "schema": schema}}
    return JSON_ONLY if wanted.get("type") == "json_object" else None


def _think(given: Json, found: Json, limited: bool) -> None:
    """Let it think where the chat asks for effort: within the client's limit, or on top of our own.

    Anthropic takes no temperature and no forced tool beside it.
    """
    budget = BUDGETS.get(str(given.get("reasoning_effort")))
    if not budget or found.get("tool_choice", {}).get("type") in ("any", "tool"):
        return
    if limited:
        budget = min(budget, found["max_tokens"] // 2)
    else:
        found["max_tokens"] += budget
    if budget >= LEAST:
        found["thinking"] = {"type": "enabled", "budget_tokens": budget}
        found.pop("temperature", None)
