"""Where the suites of conformance.py ask for what this gateway does not do by design, one by one, with the reason.

A departure passes only where the gateway says no with that very code, and, with `instead`, where the same test passes
once these fields have another value (None: are left out). Any other failure is a failure.
"""

from typing import Any, NamedTuple


class Departure(NamedTuple):
    """Of the tests whose id `test` matches; `code` is the error's, `instead` None where the route is not served."""

    test: str
    code: str
    why: str
    instead: dict[str, Any] | None = None


STORED = "nothing is stored between calls (docs/reference/http.md, Responses)"
TOOL = {
    "name": "name", "input_schema": {"type": "object", "properties": {"location": {"type": "string"}}},
    "cache_control": {"type": "ephemeral", "ttl": "5m"}, "strict": True, "type": "custom",
}  # fmt: skip

OPENAI = (
    Departure(
        r"chat/test_completions.*create_with_all_params", "malformed_request",
        "max_tokens = 0 asks for no answer; OpenAI itself refuses it", {"max_tokens": 1, "max_completion_tokens": 1},
    ),
    Departure(r"chat/test_completions.*_(retrieve|update|delete)", "not_found", STORED),
    Departure(r"chat/test_completions.*_list", "method_not_allowed", STORED),
    Departure(r"chat/completions/test_messages.*_list", "not_found", STORED),
    Departure(
        r"api_resources/test_completions.*create_with_all_params", "invalid_request",
        "suffix, best_of = 0 and echo with logprobs cannot be kept by a chat model, and are not dropped in silence",
        {"suffix": None, "best_of": None, "echo": None},
    ),
    Departure(
        r"test_embeddings.*(create)", "model_not_found",
        "text-embedding-3-small is another model: its numbers could not be compared with the house encoder's",
        {"model": "all-MiniLM-L6-v2", "dimensions": None, "encoding_format": "float"},  # strict knows no base64
    ),
    Departure(r"test_models.*_delete", "method_not_allowed", "the recipe says which models there are"),
    Departure(
        r"test_responses.*create_with_all_params", "unsupported_parameter", STORED,
        dict.fromkeys((
            "background", "context_management", "conversation", "moderation", "previous_response_id", "prompt",
        )),
    ),
    Departure(
        r"test_responses.*create_overload", "malformed_request", "there is no input, and nothing is stored that it "
        "could go on from", {"input": "string"},
    ),
    Departure(r"test_responses.*_(retrieve|delete|cancel|compact)", "nothing_stored", STORED),
    Departure(r"responses/test_input_items.*_list", "nothing_stored", STORED),
    Departure(
        r"test_input_tokens.*count_with_all_params", "unsupported_parameter", STORED,
        {"conversation": None, "previous_response_id": None},
    ),
    Departure(
        r"test_input_tokens.*count", "malformed_request", "there is no input to count", {"input": "string"}
    ),
)  # fmt: skip
ANTHROPIC = (
    Departure(
        r"test_messages.*with_all_params", "bad_schema",
        'the tool\'s schema is none ("properties": {"location": "bar"}); Anthropic itself refuses it',
        {"tools": [TOOL]},
    ),
    Departure(
        r"test_models.*list_with_all_params", "malformed_request", "there is no model after_id to begin after",
        {"after_id": None, "before_id": None},
    ),
)  # fmt: skip
COMPLY = (
    Departure(
        r"^(chat-)?error-handling$", "", 'a body without a model is answered: `model` is "auto" where it is missing'
    ),
)
