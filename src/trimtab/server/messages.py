"""POST /v1/messages: Anthropic's way in to the same path."""

from collections.abc import Mapping
from functools import partial

import msgspec

from trimtab.errors import TrimtabError
from trimtab.flow import Desk
from trimtab.server import anthropic, faults, openai
from trimtab.server.blocks import Blocks
from trimtab.server.exchange import ASK_AGAIN, Endpoint, Single, recorded
from trimtab.server.limits import Send
from trimtab.server.sse import Stream
from trimtab.settings import Server
from trimtab.types import Json, Outcome, Pending, Trace

PATH = "/v1/messages"
JSON = (b"content-type", b"application/json")

_encode = msgspec.json.Encoder().encode


def endpoint(desk: Desk, caps: Server) -> Endpoint:
    """The route; calls of tools wait for the last words where guards hold those back."""
    late = any("answer" in seat.on for seat in desk.guards)
    return Endpoint(desk, caps, partial(opened, late=late), fail)


def opened(body: Json, headers: Mapping[bytes, bytes], trace: str, send: Send, late: bool = False) -> "Turn":
    """The exchange that a body opens. Raises `MalformedError` that names the field and the fix."""
    request = anthropic.request(body, headers, trace)
    return Turn(request, Blocks(send, request, late) if request.wishes.stream else None, anthropic.message)


class Turn(Single):
    """An exchange in Anthropic's words."""

    async def reply(self, found: tuple[Outcome, Trace], desk: Desk, send: Send) -> None:
        outcome, trace = found
        if isinstance(outcome, Pending):
            await _wait(outcome, trace, self.stream, send)
        elif self.stream:
            await self.stream.finish(outcome, trace, recorded(desk, trace))
        else:
            body = _encode(self.whole(outcome, trace, recorded(desk, trace)))
            await faults.whole(send, 200, [JSON, _id(trace.request.id), *openai.headers(trace)], body)


async def fail(send: Send, error: BaseException, trace: str = "") -> None:
    """Send an error in Anthropic's form."""
    if not isinstance(error, TrimtabError):
        faults.LOG.error("%s failed", trace or PATH, exc_info=error)
    status, headers, body = response(error, trace)
    await faults.whole(send, status, headers, body)


def response(error: BaseException, trace: str = "") -> tuple[int, faults.Headers, bytes]:
    """Status, headers and body of an error."""
    status, headers, _ = faults.response(error, trace)
    return status, [*headers, *([_id(trace)] if trace else [])], _encode(anthropic.failure(status, error, trace))


async def _wait(pending: Pending, trace: Trace, stream: Stream | None, send: Send) -> None:
    """428, as on chat: see `exchange.wait`."""
    if stream and stream.begun:
        await stream.wait(pending, trace)
        return
    headers = [
        JSON, (b"location", f"/approvals/{pending.ticket}".encode()), (b"retry-after", ASK_AGAIN),
        (b"x-should-retry", b"false"), _id(trace.request.id), *openai.headers(trace),
    ]  # fmt: skip
    await faults.whole(send, 428, headers, _encode(anthropic.waiting(pending, trace)))


def _id(trace: str) -> tuple[bytes, bytes]:
    """The header that Anthropic's clients read."""
    return b"request-id", trace.encode()
