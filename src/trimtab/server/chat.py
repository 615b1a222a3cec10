"""POST /v1/chat/completions: one request down the path and its outcome back, whole or as a stream."""

import asyncio
from collections.abc import Mapping

import msgspec

from trimtab import flow
from trimtab.errors import UpstreamDownError
from trimtab.flow import Desk
from trimtab.server import faults, limits, openai, strict_json
from trimtab.server.limits import ClientLeft, Receive, Send
from trimtab.server.sse import Stream
from trimtab.settings import Server
from trimtab.types import Outcome, Pending, Request, Trace

ASK_AGAIN = b"10"
"""Seconds a client is told to wait before it asks for a person's decision."""

_encode = msgspec.json.Encoder().encode


class Chat(msgspec.Struct, frozen=True):
    """The handler: plain ASGI, since every request of the hot path passes here."""

    desk: Desk
    caps: Server

    async def __call__(self, headers: Mapping[bytes, bytes], receive: Receive, send: Send) -> None:
        """Answer one request. Every fault leaves as an error response or, once a stream has begun, an error event."""
        trace, stream = openai.new_id(), None
        try:
            body = await limits.read(receive, headers, self.caps.max_body)
            request = openai.request(strict_json.decode(body, self.caps.max_depth), headers, trace)
            stream = Stream(send, request) if request.wishes.stream else None
            outcome, found = await limits.attended(receive, self._run(request, stream))
            await self._reply(outcome, found, stream, send)
        except ClientLeft:
            return
        except asyncio.CancelledError:
            await _fail(_draining(), trace, stream, send)
            raise
        except Exception as error:  # noqa: BLE001 - the last place where a fault can still become a response
            await _fail(error, trace, stream, send)
        finally:
            if stream:
                stream.close()

    async def _run(self, request: Request, stream: Stream | None) -> tuple[Outcome, Trace]:
        return await flow.run(self.desk, request, stream.emit if stream else None)

    async def _reply(self, outcome: Outcome, trace: Trace, stream: Stream | None, send: Send) -> None:
        if isinstance(outcome, Pending):
            if stream and stream.begun:
                await stream.wait(outcome, trace)
            else:
                await _wait(send, outcome, trace)
            return
        recorded = trace.answered_by in self.desk.specs and self.desk.specs[trace.answered_by].recorded
        if stream:
            await stream.finish(outcome, trace, recorded)
            return
        headers = [(b"content-type", b"application/json"), *openai.headers(trace)]
        await faults.whole(send, 200, headers, _encode(openai.completion(outcome, trace, recorded)))


async def _wait(send: Send, pending: Pending, trace: Trace) -> None:
    """428: SDKs retry 408, 409, 429 and 5xx by themselves, and would read a 2xx as a completion (ADR 1)."""
    headers = [
        (b"content-type", b"application/json"), (b"location", f"/approvals/{pending.ticket}".encode()),
        (b"retry-after", ASK_AGAIN), (b"x-should-retry", b"false"), *openai.of_trace(trace.request.id),
    ]  # fmt: skip
    await faults.whole(send, 428, headers, _encode({"error": openai.waiting(pending, trace)}))


async def _fail(error: BaseException, trace: str, stream: Stream | None, send: Send) -> None:
    if stream and stream.begun:
        await stream.fail(error)
    else:
        await faults.send(send, error, trace)


def _draining() -> UpstreamDownError:
    return UpstreamDownError("The gateway is shutting down.", "Send the request again.", code="shutting_down")
