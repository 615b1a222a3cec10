"""GET /v1/traces/{id} and POST /v1/feedback: what happened to a request, and what a person says of its answer."""

from starlette.requests import Request
from starlette.responses import Response

from trimtab.errors import MalformedError, NotFoundError
from trimtab.server import admission
from trimtab.server.place import body, json, place
from trimtab.types import Json

TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "trace": ((str,), "the id of a trace, as in x-trimtab-trace"),
    "score": ((int, float), "a number from 0 to 1"),
    "label": ((str,), "good or bad"),
    "comment": ((str,), "a text"),
}


async def show(request: Request) -> Response:
    """The trace as the ledger keeps it; by its whole id, since a beginning can be guessed. Raises `NotFoundError`."""
    from trimtab.record import _read

    name = request.path_params["id"]
    found = await _read.trace(place(request).store(), name)
    if found is None or found["id"] != name or not admission.caller().sees(found["principal"]):
        raise NotFoundError(f"There is no trace {name!r}.", "See `trimtab logs tail`.", code="trace_not_found")
    return json(found)


async def feedback(request: Request) -> Response:
    """Keep a score or a label for a trace; 201 once it is on disk. Raises `RequestError`s."""
    from trimtab.record import _feedback, _read

    given = opinion(await body(request))
    trace, store, caller = given.pop("trace"), place(request).store(), admission.caller()
    seen = await _read.trace(store, trace) if caller.keyed else None
    if seen and not caller.sees(seen["principal"]):
        raise NotFoundError(f"There is no trace {trace!r}.", "Use the trace's id of the reply.", param="trace")
    kept = await _feedback.give(store, trace, principal=caller.principal, **given)
    return json({"trace": trace, **{name: kept[name] for name in ("score", "label", "comment")}}, 201)


def opinion(given: Json) -> Json:
    """What a body says, its types checked. Raises `MalformedError` that names the field."""
    for name, value in given.items():
        if name not in TYPES:
            raise _wrong(name, "left out: feedback has trace, score or label, and comment")
        if value is not None and type(value) not in TYPES[name][0]:
            raise _wrong(name, TYPES[name][1])
    if not given.get("trace"):
        raise _wrong("trace", TYPES["trace"][1])
    return {name: value for name, value in given.items() if value is not None}


def _wrong(param: str, must: str) -> MalformedError:
    return MalformedError(f"{param} is missing or wrong.", f"It must be {must}.", param=param)
