"""A chat without the further fields that Anthropic's clients bring: OpenAI's own servers refuse what they do not know.

Only what `_turns`, `_blocks` and `_parameters` leave in a chat is taken out, or gets OpenAI's word; texts stay. Pure.
"""

from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import urlsplit

from trimtab.types import Json

HOSTS = ("api.openai.com", ".openai.azure.com", ".api.openai.com")
OF_PARAMETERS = frozenset({
    "thinking", "betas", "top_k", "container", "context_management", "output_config", "mcp_servers", "cache_control",
    "inference_geo", "speed", "user_profile_id", "diagnostics",
})  # fmt: skip
OF_MESSAGE = frozenset({
    "thinking_blocks", "content_blocks", "order", "placed", "is_error", "cache_control", "reasoning_content",
    "reasoning", "toolset_name",
})  # fmt: skip
OF_PART = frozenset({"cache_control", "block", "at", "citations", "context", "transformations"})
PARTS = frozenset({"text", "image_url", "input_audio", "file", "refusal"})
OF_TOOL = frozenset({"id", "type", "function", "custom"})


def strict(url: str) -> bool:
    """Whether the server is one of OpenAI's own."""
    host = urlsplit(url).hostname or ""
    return any(host == known or (known[0] == "." and host.endswith(known)) for known in HOSTS)


def plain(params: Json, messages: Sequence[Json]) -> Json:
    """The body of a chat, as OpenAI knows it."""
    found = {key: value for key, value in params.items() if key not in OF_PARAMETERS}
    if isinstance(found.get("tools"), list):
        found["tools"] = [_tool(tool) for tool in found["tools"]]
    if found.get("service_tier") == "standard_only":
        found["service_tier"] = "default"
    if found.get("reasoning_effort") == "max":
        found["reasoning_effort"] = "xhigh"
    if "max_tokens" in found:  # of the new models none takes it
        found.setdefault("max_completion_tokens", found.pop("max_tokens"))
    return {**found, "messages": [_message(message) for message in messages]}


def _message(given: Json) -> Json:
    found = {key: value for key, value in given.items() if key not in OF_MESSAGE}
    if isinstance(found.get("content"), list):
        parts = [part for part in cast("list[Json]", found["content"]) if part.get("type") in PARTS]
        found["content"] = [{k: v for k, v in part.items() if k not in OF_PART} for part in parts] or ""
    if isinstance(found.get("tool_calls"), list):
        found["tool_calls"] = [_tool(call) for call in found["tool_calls"]]
    return found


def _tool(given: Any) -> Any:
    """A tool or a call; one that a server of Anthropic's runs is left as it is, to be refused by name."""
    known = isinstance(given, dict) and cast("Json", given).get("type") in ("function", "custom", None)
    return {key: value for key, value in cast("Json", given).items() if key in OF_TOOL} if known else given
