"""GET /openapi.json: all routes as an OpenAPI 3.1 document, made from the route tables; every route must be told here.

What the tables know (path, method, role) is theirs to say; what they do not (bodies, responses, errors) is in `TOLD`.
"""

import re
from collections.abc import Iterable
from functools import cache
from http import HTTPStatus

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from trimtab import __version__
from trimtab.server.schemas import components, ref
from trimtab.types import REGION, Json

JSON, EVENTS, PROBLEM = "application/json", "text/event-stream", "application/problem+json"
ANTHROPIC = "/v1/messages"
SECURITY: Json = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}
ABOUT = (
    "Fields that a schema does not name are passed on to the model's server as they came. Where no key is asked for, "
    "requests are answered without one, to this machine only."
)
ALWAYS = (408, 431, 500)
KEYED = (401, 403, 421, 503)
"""What every route that asks for a key may say: not you, not from there, or that the keys cannot be read."""
READING = (400, 413, 415)
ANSWERING = (*READING, 404, 409, 428, 429, 502, 504)
LIMITS: tuple[Json, ...] = tuple(
    {"name": name, "in": "header", "schema": schema}
    for name, schema in {
        "x-trimtab-where": {"enum": ["any", "local"]},
        "x-trimtab-regions": {"type": "string", "pattern": f"{REGION[:-1]}(,{REGION[1:-1]})*$"},
        "x-trimtab-max-cost": {"type": "number", "minimum": 0, "exclusiveMaximum": 1e9},
        "x-trimtab-max-latency": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1e9},
    }.items()
)
ONCE: Json = {"name": "idempotency-key", "in": "header", "schema": {"type": "string", "minLength": 1, "maxLength": 255}}
OPERATOR: Json = {"name": "x-trimtab-operator", "in": "header", "schema": {"type": "string"}}
DIALECT: Json = {"name": "anthropic-version", "in": "header", "schema": {"type": "string"}}


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One operation: its response is the schema `gives`, by media type, with `status`; none where nothing succeeds."""

    about: str
    takes: str = ""
    gives: dict[str, str | tuple[str, str]] = {}
    status: int = 200
    errors: tuple[int, ...] = ()
    parameters: tuple[Json, ...] = ()


def _answers(about: str, takes: str, gives: str) -> Told:
    return Told(
        about=about, takes=takes, gives={JSON: gives, EVENTS: "Events"}, errors=ANSWERING, parameters=(*LIMITS, ONCE)
    )


def _counts(about: str, takes: str) -> Told:
    errors = (*READING, 404, 429)
    return Told(about=about, takes=takes, gives={JSON: "Tokens"}, errors=errors, parameters=LIMITS)


def _decides(about: str) -> Told:
    return Told(about=about, takes="DecisionsAsked", gives={JSON: "Decisions"}, errors=(*READING, 404, 429))


PASSED = (*READING, 404, 429, 502, 504)
"""What a server that is passed to may say by its own status; others become these."""


def _passed(what: str, about: str) -> dict[tuple[str, str], Told]:
    """The routes that are passed to a model's server, whose replies are its own; off unless the settings say so."""
    from trimtab.server import passthrough

    return {
        (method, path): Told(about=about, gives={"*/*": "Passed"}, errors=PASSED)
        for path, _, method, _ in passthrough.ROUTES
        if path.startswith(what)
    }


NOTHING = "Always 404: nothing is stored."
TOLD: dict[tuple[str, str], Told] = {
    ("POST", "/v1/chat/completions"): _answers("One request down the path.", "ChatAsked", "ChatCompletion"),
    ("POST", "/v1/messages"): _answers("The same in Anthropic's format.", "MessageAsked", "Message"),
    ("POST", "/v1/responses"): _answers("The same in the Responses format.", "ResponseAsked", "Response"),
    ("POST", "/v1/completions"): _answers("The same in the legacy format.", "CompletionAsked", "Completion"),
    ("POST", "/v1/embeddings"): Told(
        about="The house encoder, 384 numbers a text.", takes="EmbeddingsAsked", gives={JSON: "Embeddings"},
        errors=(*READING, 404, 429),
    ),
    ("POST", "/v1/decide"): _decides("Typed decisions about a state, by the encoder's heads, skills and meaning."),
    ("POST", "/v1/systemone"): _decides("The same for System One's clients, whichever model they name."),
    ("POST", "/v1/messages/count_tokens"): _counts("The tokens of a message's prompt.", "MessageAsked"),
    ("POST", "/v1/responses/input_tokens"): _counts("The tokens of a response's prompt.", "ResponseAsked"),
    **{(method, "/v1/responses/{id:path}"): Told(about=NOTHING, errors=(404,)) for method in ("GET", "DELETE", "POST")},
    **_passed("/v1/files", "Files, passed to the server of the model that `server.files` names."),
    **_passed("/v1/batches", "Batches, passed to that server too."),
    **_passed("/v1/messages/batches", "Batches of messages, passed to the server that `server.message_batches` names."),
    ("GET", "/v1/models"): Told(
        about="`auto`, every configured model and the encoder; in Anthropic's form where its version is named.",
        gives={JSON: ("Models", "AnthropicModels")}, errors=(400,), parameters=(DIALECT,),
    ),
    ("GET", "/v1/models/{id:path}"): Told(
        about="One model.", gives={JSON: ("Model", "AnthropicModel")}, errors=(404,), parameters=(DIALECT,)
    ),
    ("GET", "/v1/traces/{id}"): Told(
        about="Everything that happened to one request.", gives={JSON: "Trace"}, errors=(400, 404)
    ),
    ("POST", "/v1/feedback"): Told(
        about="A score or a label for a trace.", takes="Feedback", gives={JSON: "Given"}, status=201,
        errors=(*READING, 404),
    ),
    ("GET", "/approvals"): Told(
        about="What waits for a person.", gives={JSON: "Tickets"}, errors=(400, 404),
        parameters=({"name": "state", "in": "query", "schema": ref("State")}, OPERATOR),
    ),
    ("GET", "/approvals/{id}"): Told(
        about="One ticket.", gives={JSON: "Ticket"}, errors=(304, 400, 404), parameters=(OPERATOR,)
    ),
    ("POST", "/approvals/{id}"): Told(
        about="Decide a ticket.", takes="Decided", gives={JSON: "Ticket"}, errors=(*READING, 404, 409, 410),
        parameters=(OPERATOR,),
    ),
    ("GET", "/healthz"): Told(about="Whether the process lives.", gives={JSON: "Alive"}),
    ("GET", "/readyz"): Told(about="Whether it can serve.", gives={JSON: "Ready"}),
    ("GET", "/metrics"): Told(
        about="Prometheus.", gives={"text/plain": "Page", "application/openmetrics-text": "Page"}, errors=(404,)
    ),
    ("GET", "/openapi.json"): Told(about="This document.", gives={JSON: "Document"}),
}  # fmt: skip


async def show(_: Request) -> Response:
    return Response(_encoded(), media_type=JSON)


ROUTE = ("/openapi.json", show, "GET", "client")


def document(routes: Iterable[tuple[str, str, str]]) -> Json:
    """The document of routes: path, method and role of each. Raises `KeyError` for one that `TOLD` does not tell."""
    paths: dict[str, Json] = {}
    for path, method, role in routes:
        shown = re.sub(r"{(\w+):\w+}", r"{\1}", path)
        paths.setdefault(shown, {})[method.lower()] = _operation(shown, method, role, TOLD[method, path])
    return {
        "openapi": "3.1.0", "info": {"title": "Trimtab", "version": __version__, "description": ABOUT}, "paths": paths,
        "components": {"schemas": components(), "securitySchemes": SECURITY},
    }  # fmt: skip


def _operation(path: str, method: str, role: str, told: Told) -> Json:
    errors = (*ALWAYS, *(KEYED if role != "anyone" else ()), *told.errors)
    responses = {str(status): _failure(path, status) for status in sorted(set(errors))}
    if path == "/readyz":
        responses["503"]["content"][JSON] = {"schema": ref("Ready")}
    names = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
             for name in re.findall(r"{(\w+)}", path)]  # fmt: skip
    found: Json = {
        "operationId": f"{method.lower()}{re.sub(r'[^a-z]+', '_', path)}".rstrip("_"), "summary": told.about,
        "description": f"Role: {role}.", "parameters": [*names, *told.parameters],
        "responses": {**(_success(told) if told.gives else {}), **responses},
        "security": [] if role == "anyone" else [{name: []} for name in SECURITY],
    }  # fmt: skip
    if told.takes:
        found["requestBody"] = {"required": True, "content": {JSON: {"schema": ref(told.takes)}}}
    return found


def _success(told: Told) -> Json:
    content = {kind: {"schema": _schema(names)} for kind, names in told.gives.items()}
    return {str(told.status): {"description": HTTPStatus(told.status).phrase, "content": content}}


def _schema(names: str | tuple[str, str]) -> Json:
    return ref(names) if isinstance(names, str) else {"anyOf": [ref(name) for name in names]}


def _failure(path: str, status: int) -> Json:
    """A response that is no success, in the words of the path's dialect."""
    found: Json = {"description": HTTPStatus(status).phrase}
    if status == 304:
        return found
    said = "Waiting" if status == 428 else "Error"
    if path.startswith(ANTHROPIC):
        content = {JSON: {"schema": ref(f"Anthropic{said}")}}
    elif path.startswith("/v1/models"):
        content = {JSON: {"schema": _schema(("Error", "AnthropicError"))}}
    elif path.startswith("/v1"):
        content = {JSON: {"schema": ref(said)}}
    else:
        content = {PROBLEM: {"schema": ref("Problem")}}
    return {**found, "content": content}


@cache
def _encoded() -> bytes:
    from trimtab.server.app import HOT, ROUTES

    hot = [(path, "POST", role) for path, _, role in HOT]
    return msgspec.json.encode(document([*hot, *((path, method, role) for path, _, method, role in ROUTES)]))
