"""How an error leaves: OpenAI's error object on `/v1`, an RFC 9457 problem elsewhere, both from `errors.TABLE`."""

import logging
from collections.abc import Iterable
from math import ceil

import msgspec

from trimtab.errors import CODES, AuthError, MalformedError, Row, StorageError, TrimtabError, row
from trimtab.server.limits import Send
from trimtab.types import Json

LOG = logging.getLogger("trimtab.server")
Headers = list[tuple[bytes, bytes]]


class MethodError(MalformedError):
    """A route does not take that method; `allow` are those that it takes."""

    def __init__(self, method: str, path: str, allow: Iterable[str]) -> None:
        self.allow = ", ".join(sorted(allow))
        super().__init__(f"{method} does not go to {path}.", f"Use {self.allow}.", code="method_not_allowed")


def place(error: BaseException) -> Row:
    """The row of an error that knows its own better (`admission.QuotaError`), else the table's."""
    own = getattr(error, "row", None)
    return own if isinstance(own, Row) else row(error)


def error_object(error: BaseException, trace: str = "") -> Json:
    """OpenAI's error object. What an unforeseen error says stays in the log: the client gets the trace's id."""
    kind = place(error)
    if isinstance(error, StorageError):  # its words name files of this machine
        message = "The gateway cannot store what it must. Its operator finds the reason in the log and at /readyz."
        return {"message": message, "type": kind.type, "param": None, "code": error.code}
    if isinstance(error, TrimtabError):
        return {"message": str(error), "type": kind.type, "param": error.param, "code": error.code}
    message = f"Something went wrong inside. See the log for {trace or 'the time of this request'}."
    return {"message": message, "type": kind.type, "param": None, "code": kind.code}


def response(error: BaseException, trace: str = "", path: str = "/v1") -> tuple[int, Headers, bytes]:
    """Status, headers and body of an error."""
    kind, found = place(error), error_object(error, trace)
    status = _status(error, kind)
    own = not path.startswith("/v1")
    body = _problem(status, found) if own else {"error": found}
    return status, _headers(error, kind, trace, own), msgspec.json.encode(body)


async def send(send: Send, error: BaseException, trace: str = "", path: str = "/v1") -> None:
    """Send an error as a whole response; one that nobody foresaw is logged with its traceback."""
    if not isinstance(error, TrimtabError):
        LOG.error("%s failed", trace or path, exc_info=error)
    status, headers, body = response(error, trace, path)
    await whole(send, status, headers, body)


async def whole(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """Send a response in one piece."""
    head = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


def _headers(error: BaseException, kind: Row, trace: str, own: bool) -> Headers:
    headers = [
        (b"content-type", b"application/problem+json" if own else b"application/json"),
        (b"x-should-retry", b"true" if kind.retry else b"false"),
    ]
    if trace:
        headers += [(b"x-request-id", trace.encode()), (b"x-trimtab-trace", trace.encode())]
    if isinstance(error, TrimtabError) and error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(0, ceil(error.retry_after))))
    if isinstance(error, MethodError):
        headers.append((b"allow", error.allow.encode()))
    if isinstance(error, AuthError) and kind.status == _status(error, kind):
        headers.append((b"www-authenticate", b"Bearer"))
    return headers


def _status(error: BaseException, kind: Row) -> int:
    """The status of an error: its code's own where that says more than its class's."""
    known = CODES.get(error.code) if isinstance(error, TrimtabError) else None
    if known and known.of and isinstance(error, known.of):  # a model's server may use one of our codes
        return known.status or kind.status
    return kind.status


def _problem(status: int, found: Json) -> Json:
    return {
        "type": f"urn:trimtab:{found['code']}", "title": found["type"], "status": status, "detail": found["message"],
        "code": found["code"], "param": found["param"],
    }  # fmt: skip
