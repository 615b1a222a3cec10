"""The JSON Schemas of /openapi.json: what is checked of a request, and what every response has. Pure.

They say no more than the code does: a field that is passed on as it came has no schema, and no object is closed where
further fields are kept. Structs give their own schemas.
"""

from typing import Any

import msgspec

from trimtab.server import anthropic, openai
from trimtab.server.approvals import STATES
from trimtab.server.completions import PROMPTS
from trimtab.server.decide import HEADS, OPTIONS, QUESTIONS
from trimtab.server.embeddings import MODEL, TEXTS
from trimtab.types import Citation, Json, Span

STRUCTS = (openai.Asked, Citation, Span)
NAMES = {int: "integer", float: "number", bool: "boolean", str: "string", dict: "object", list: "array"}


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def or_null(*kinds: str, **more: Any) -> Json:
    return {"type": [*kinds, "null"], **more}


def array(items: Json, **more: Any) -> Json:
    return {"type": "array", "items": items, **more}


def shape(required: str = "", /, **properties: Json) -> Json:
    """An object with these properties, further ones allowed; `required` names those that must be there."""
    return {"type": "object", "required": required.split(), "properties": properties}


def components() -> Json:
    """All schemas by their names."""
    _, structs = msgspec.json.schema_components(STRUCTS, ref_template="#/components/schemas/{name}")
    return {**structs, **SCHEMAS}


STRING, INTEGER, NUMBER, BOOLEAN, OBJECT, NULL = (
    {"type": kind} for kind in ("string", "integer", "number", "boolean", "object", "null")
)
TEXT = or_null("string")
USD = or_null("string", description="An exact decimal; null is unknown.")
OTHER_PART = shape("type", type={"type": "string", "not": {"const": "text"}})
TEXT_PART = shape("type text", type={"const": "text"}, text=STRING)
CONTENT = {"anyOf": [STRING, array({"anyOf": [TEXT_PART, OTHER_PART]})]}
CALLS = array(shape(function=shape(arguments=STRING)))

ABOUT = shape(
    "trace cost_usd baseline_usd", trace=STRING, answered_by=TEXT, confidence=or_null("number"), reasons=array(STRING),
    cost_usd=USD, baseline_usd=USD, recorded=BOOLEAN, label=TEXT, citations=array(ref("Citation")),
    refused=shape(
        "by code why score spans", by=STRING, code=STRING, why=STRING, score=or_null("number"), spans=array(ref("Span"))
    ),
)  # fmt: skip
ERROR = shape("message type param code", message=STRING, type=STRING, param=TEXT, code=STRING)
WAITING = shape(
    "message type param code reason ticket url digest expires trace why cost_usd reasons tried", message=STRING,
    type={"const": "approval_required"}, param={"type": "null"}, code={"const": "approval_required"}, reason=STRING,
    ticket=STRING, url=STRING, digest=STRING, expires=or_null("number"), trace=STRING, why=STRING, cost_usd=USD,
    reasons=array(STRING), tried=array(shape("by code", by=STRING, code=STRING)),
)  # fmt: skip
KINDS = sorted({*anthropic.TYPES.values(), "invalid_request_error", "api_error"})
COUNTED = shape(
    "prompt_tokens completion_tokens total_tokens", prompt_tokens=INTEGER, completion_tokens=INTEGER,
    total_tokens=INTEGER, estimated=BOOLEAN,
)  # fmt: skip
FACTS = shape("where price", where=STRING, price=or_null("object"), abilities=array(STRING))
TICKET: Json = {
    "object": {"const": "approval"}, "id": STRING, "state": ref("State"), "reason": STRING, "trace": STRING,
    "created": NUMBER, "expires": NUMBER, "digest": STRING,
}  # fmt: skip


def _parameter(name: str) -> Json:
    """The type that is checked of a chat's parameter."""
    kinds = dict.fromkeys(NAMES[kind] for kind in openai.TYPES[name][0])
    found = or_null(*(kind for kind in kinds if kind != "integer" or "number" not in kinds))
    if name in openai.COUNTS:
        found |= {"minimum": 1, **({"maximum": openai.CHOICES} if name == "n" else {})}
    return {**found, "items": OBJECT} if name == "tools" else found


def _asking(*left_out: str, **more: Json) -> Json:
    """The properties that every body which asks a model has, and more of them."""
    found = {name: _parameter(name) for name in openai.TYPES if name not in left_out}
    mine = {"anyOf": [ref("Asked"), NULL]}
    return {**found, "model": or_null("string"), "stream": or_null("boolean"), "trimtab": mine, **more}


def _question(kind: str, criteria: Json | None = None) -> Json:
    more = {"criteria": criteria} if criteria else {}
    required = "type criteria" if kind == "score" else "type"
    return shape(required, type={"const": kind}, instructions={"type": ["string", "object", "array", "null"]}, **more)


SHARES = {"type": "object", "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1}}
DECIDED = {"by": {"type": "string", "description": f"head:NAME ({', '.join(HEADS)}), skill:NAME or meaning."}}

SCHEMAS: Json = {
    "Error": shape("error", error=ERROR),
    "AnthropicError": shape(
        "type error request_id", type={"const": "error"}, request_id=TEXT,
        error=shape("type message code", type={"enum": KINDS}, message=STRING, code=STRING, param=TEXT),
    ),
    "Problem": shape(
        "type title status detail code param", type=STRING, title=STRING, status=INTEGER, detail=STRING, code=STRING,
        param=TEXT,
    ),
    "Waiting": shape("error", error=WAITING),
    "AnthropicWaiting": shape("type error request_id", type={"const": "error"}, request_id=TEXT, error=WAITING),
    "Events": {"description": "Server-sent events; see docs/reference/http.md."},
    "ChatAsked": shape("messages", **_asking(messages=array(ref("ChatMessage"), minItems=1))),
    "ChatMessage": {
        **shape(
            "role", role={"enum": sorted(openai.ROLES)}, tool_calls={"anyOf": [CALLS, NULL]},
            content={"anyOf": [*CONTENT["anyOf"], NULL]},
        ),
        "anyOf": [shape(role={"const": "assistant"}), shape("content", content={"type": ["string", "array"]})],
    },
    "ChatCompletion": shape(
        "id object created model choices usage trimtab", id=STRING, object={"const": "chat.completion"},
        created=INTEGER, model=STRING, usage=ref("Usage"), trimtab=ref("About"),
        choices=array(
            shape(
                "index message finish_reason logprobs", index=INTEGER, finish_reason=TEXT, logprobs=or_null("object"),
                message=shape("role content", role={"const": "assistant"}, content=TEXT, refusal=TEXT),
            ),
            minItems=1,
        ),
    ),
    "CompletionAsked": shape("prompt", **_asking(
        "tools", prompt={"anyOf": [STRING, array(STRING, minItems=1, maxItems=PROMPTS)]}, echo=or_null("boolean"),
        logprobs=or_null("integer", minimum=0), best_of=or_null("integer"),
    )),
    "Completion": shape(
        "id object created model choices usage trimtab", id=STRING, object={"const": "text_completion"},
        created=INTEGER, model=STRING, usage=ref("Usage"), trimtab=OBJECT,
        choices=array(
            shape("index text finish_reason logprobs", index=INTEGER, text=STRING, finish_reason=STRING), minItems=1
        ),
    ),
    "ResponseAsked": shape("input", **_asking(
        input={"anyOf": [STRING, array(OBJECT, minItems=1)]}, instructions=TEXT, text=or_null("object"),
        reasoning=or_null("object"), include=or_null("array"), max_output_tokens=or_null("integer", minimum=1),
        n={"enum": [None, 1]},
    )),
    "Response": shape(
        "id object created_at status model output usage error incomplete_details store trimtab", id=STRING,
        object={"const": "response"}, created_at=INTEGER, status={"enum": ["completed", "incomplete"]}, model=STRING,
        error={"type": "null"}, incomplete_details=or_null("object"), store={"const": False}, trimtab=ref("About"),
        output=array(shape("type id", type=STRING, id=STRING), minItems=1),
        usage=shape(
            "input_tokens output_tokens total_tokens", input_tokens=INTEGER, output_tokens=INTEGER,
            total_tokens=INTEGER,
        ),
    ),
    "MessageAsked": shape("messages", **_asking(
        messages=array(shape("role content", role={"enum": sorted(anthropic.ROLES)}, content=CONTENT), minItems=1),
        system={"anyOf": [*CONTENT["anyOf"], NULL]}, tools=or_null("array", items=shape(name=STRING)),
        stop_sequences=or_null("array"),
        **{name: or_null("object") for name in anthropic.OBJECTS},
    )),
    "Message": shape(
        "id type role model content stop_reason stop_sequence stop_details container usage trimtab", id=STRING,
        type={"const": "message"}, role={"const": "assistant"}, model=STRING, stop_reason=STRING, stop_sequence=TEXT,
        content=array(shape("type", type=STRING)), trimtab=ref("About"),
        usage=shape("input_tokens output_tokens", input_tokens=INTEGER, output_tokens=INTEGER),
    ),
    "About": ABOUT,
    "Usage": COUNTED,
    "Tokens": shape("input_tokens", input_tokens=INTEGER),
    "EmbeddingsAsked": shape(
        "input", model={"enum": ["auto", MODEL]}, encoding_format={"enum": ["float", "base64"]},
        dimensions={"enum": [None, 384]},
        input={"anyOf": [
            {"type": "string", "minLength": 1},
            array({"type": "string", "minLength": 1}, minItems=1, maxItems=TEXTS),
        ]},
    ),
    "Embeddings": shape(
        "object data model usage", object={"const": "list"}, model={"const": MODEL},
        usage=shape("prompt_tokens total_tokens", prompt_tokens=INTEGER, total_tokens=INTEGER),
        data=array(shape(
            "object index embedding", object={"const": "embedding"}, index=INTEGER,
            embedding={"anyOf": [STRING, array(NUMBER, minItems=384, maxItems=384)]},
        )),
    ),
    "DecisionsAsked": shape(
        "state questions", model=STRING, state={"type": ["string", "object", "array"]},
        questions={
            "type": "object", "minProperties": 1, "maxProperties": QUESTIONS,
            "additionalProperties": {"oneOf": [
                _question("noul"), _question("score", array(STRING, minItems=2, maxItems=2)),
                _question("choice", or_null("object", minProperties=2, maxProperties=OPTIONS,
                                            additionalProperties=or_null("string"))),
            ]},
        },
    ),
    "Decisions": shape(
        "model answers usage", model={"const": MODEL}, usage=shape(
            "input_tokens output_tokens", input_tokens=INTEGER, output_tokens={"const": 0},
        ),
        answers={"type": "object", "additionalProperties": {"oneOf": [
            shape("type noul by", type={"const": "noul"}, noul=NUMBER, **DECIDED),
            shape("type choice probabilities confidence by", type={"const": "choice"}, choice=STRING,
                  probabilities=SHARES, confidence=NUMBER, outside=or_null("number"), **DECIDED),
            shape("type score legend probabilities confidence by", type={"const": "score"}, score=NUMBER,
                  legend=OBJECT, probabilities=SHARES, confidence=NUMBER, **DECIDED),
        ]}},
    ),
    "Model": shape(
        "id object created owned_by trimtab", id=STRING, object={"const": "model"}, created=INTEGER, owned_by=STRING,
        trimtab=FACTS,
    ),
    "Models": shape("object data", object={"const": "list"}, data=array(ref("Model"))),
    "AnthropicModel": shape(
        "type id display_name created_at lifecycle", type={"const": "model"}, id=STRING, display_name=STRING,
        created_at=STRING, lifecycle={"const": "active"}, trimtab=FACTS,
    ),
    "AnthropicModels": shape(
        "data has_more first_id last_id", data=array(ref("AnthropicModel")), has_more=BOOLEAN, first_id=TEXT,
        last_id=TEXT,
    ),
    "Trace": shape(
        "id at principal outcome ms usage cost_nano cost_usd decision steps feedback", id=STRING, at=NUMBER,
        principal=STRING, outcome={"enum": ["answer", "refused", "pending", "error", "cancelled"]}, ms=NUMBER,
        usage=OBJECT, cost_nano=or_null("integer"), cost_usd=USD, decision=or_null("object"),
        steps=array(shape("stage by ms ok code", stage=STRING, by=STRING, ms=NUMBER, ok=BOOLEAN, code=STRING)),
        feedback=array(shape("at principal score", at=NUMBER, principal=STRING, score=NUMBER)),
    ),
    "Feedback": {
        **shape(
            "trace", trace={"type": "string", "minLength": 1}, score=or_null("number", minimum=0, maximum=1),
            label={"enum": ["good", "bad", None]}, comment=TEXT,
        ),
        "additionalProperties": False,
        "anyOf": [shape("score", score=NUMBER), shape("label", label=STRING)],
    },
    "Given": shape("trace score label comment", trace=STRING, score=NUMBER, label=TEXT, comment=STRING),
    "Ticket": {"type": "object", "required": list(TICKET), "properties": TICKET},
    "Tickets": shape("object data", object={"const": "list"}, data=array(ref("Ticket"))),
    "Decided": {
        **shape("decision", decision={"enum": ["approve", "deny"]}, digest=TEXT, answer=TEXT, why=TEXT),
        "additionalProperties": False,
        "anyOf": [
            shape("decision", decision={"const": "deny"}), shape("digest", digest=STRING),
            shape("answer", answer=STRING),
        ],
    },
    "State": {"enum": list(STATES)},
    "Page": STRING,
    "Document": OBJECT, "Passed": {},
    "Alive": shape("trimtab system", trimtab=STRING, system=STRING),
    "Ready": shape("ready problems", ready=BOOLEAN, problems=array(STRING)),
}  # fmt: skip
