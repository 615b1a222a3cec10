"""One request and its reply in a wire format of its own: what the routes that answer share."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeAlias

import msgspec

from trimtab.errors import UpstreamDownError
from trimtab.flow import Desk
from trimtab.server import admission, faults, limits, openai, strict_json
from trimtab.server.limits import ClientLeft, Receive, Send
from trimtab.server.logs import TRACE
from trimtab.server.sse import Stream
from trimtab.settings import Server
from trimtab.types import Answer, Json, Outcome, Pending, Refused, Request, Trace

ASK_AGAIN = b"10"
"""Seconds a client is told to wait before it asks for a person's decision."""

_encode = msgspec.json.Encoder().encode


class Exchange(Protocol):
    """A request as it was read; `stream` is there where the client wants one."""

    @property
    def stream(self) -> Stream | None: ...

    async def run(self, desk: Desk) -> Any:
        """Go down the path."""

    async def reply(self, found: Any, desk: Desk, send: Send) -> None:
        """Say what was found."""


Opened: TypeAlias = Callable[[Json, Mapping[bytes, bytes], str, Send], Exchange]
"""An exchange from a decoded body, headers, the trace's id and the connection. Raises `RequestError`s."""


class Endpoint(msgspec.Struct, frozen=True):
    """A route: plain ASGI. Every fault leaves as an error response or, once a stream has begun, an error event.

    `refuse` sends an error in the words of the route's format.
    """

    desk: Desk
    caps: Server
    opened: Opened
    refuse: Callable[[Send, BaseException, str], Awaitable[None]] = faults.send

    async def __call__(self, headers: Mapping[bytes, bytes], receive: Receive, send: Send) -> None:
        trace, stream = openai.new_id(), None
        TRACE.set(trace)
        try:
            body = await limits.read(receive, headers, self.caps.max_body)
            exchange = self.opened(strict_json.decode(body, self.caps.max_depth), headers, trace, send)
            stream = exchange.stream
            found = await limits.attended(receive, exchange.run(self.desk))
            await exchange.reply(found, self.desk, send)
        except ClientLeft:
            return
        except asyncio.CancelledError:
            await self._fail(_draining(), trace, stream, send)
            raise
        except Exception as error:  # noqa: BLE001 - the last place where a fault can still become a response
            await self._fail(error, trace, stream, send)
        finally:
            if stream:
                stream.close()

    async def _fail(self, error: BaseException, trace: str, stream: Stream | None, send: Send) -> None:
        if stream and stream.begun:
            await stream.fail(error)
        else:
            await self.refuse(send, error, trace)


class Single(msgspec.Struct):
    """An exchange of one request; `whole` makes the body of a reply that is no stream."""

    request: Request
    stream: Stream | None
    whole: Callable[[Answer | Refused, Trace, bool], Json]

    async def run(self, desk: Desk) -> tuple[Outcome, Trace]:
        return await admission.run(desk, self.request, self.stream.emit if self.stream else None)

    async def reply(self, found: tuple[Outcome, Trace], desk: Desk, send: Send) -> None:
        outcome, trace = found
        if isinstance(outcome, Pending):
            await wait(outcome, trace, self.stream, send)
        elif self.stream:
            await self.stream.finish(outcome, trace, recorded(desk, trace))
        else:
            await say(send, self.whole(outcome, trace, recorded(desk, trace)), trace)


async def say(send: Send, body: Json, trace: Trace) -> None:
    """A whole reply with the headers of its trace."""
    headers = [(b"content-type", b"application/json"), *openai.headers(trace)]
    await faults.whole(send, 200, headers, _encode(body))


async def wait(pending: Pending, trace: Trace, stream: Stream | None, send: Send) -> None:
    """428: SDKs retry 408, 409, 429 and 5xx by themselves, and would read a 2xx as an answer (ADR 1)."""
    if stream and stream.begun:
        await stream.wait(pending, trace)
        return
    headers = [
        (b"content-type", b"application/json"), (b"location", f"/approvals/{pending.ticket}".encode()),
        (b"retry-after", ASK_AGAIN), (b"x-should-retry", b"false"), *openai.headers(trace),
    ]  # fmt: skip
    await faults.whole(send, 428, headers, _encode({"error": openai.waiting(pending, trace)}))


def recorded(desk: Desk, trace: Trace) -> bool:
    """Whether the answer was replayed from a recording."""
    return trace.answered_by in desk.specs and desk.specs[trace.answered_by].recorded


def _draining() -> UpstreamDownError:
    return UpstreamDownError("The gateway is shutting down.", "Send the request again.", code="shutting_down")
