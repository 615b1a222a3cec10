"""What a request may take: bytes of body, and time only while its client is there."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping
from typing import Any, TypeAlias, TypeVar, cast

from trimtab.errors import MalformedError, TooLargeError

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
T = TypeVar("T")


class ClientLeft(Exception):  # noqa: N818 - an event on the connection, not a fault
    """The client closed the connection; nobody waits for a response."""


async def read(receive: Receive, headers: Mapping[bytes, bytes], cap: int) -> bytes:
    """The whole body. Raises `TooLargeError` as soon as it is over `cap` bytes, announced or counted.

    And `MalformedError` for one that is compressed: what a few bytes unpack to has no cap.
    """
    if (coding := headers.get(b"content-encoding")) and coding.lower() != b"identity":
        raise _compressed(coding.decode("latin-1"))
    announced = headers.get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > cap:
        raise _too_large(cap)
    message = await receive()
    body, more = message.get("body", b""), message.get("more_body", False)
    pieces, size = [body], len(body)
    while more or size > cap or message["type"] == "http.disconnect":
        if message["type"] == "http.disconnect":
            raise ClientLeft
        if size > cap:
            raise _too_large(cap)
        message = await receive()
        pieces.append(body := message.get("body", b""))
        size, more = size + len(body), message.get("more_body", False)
    return b"".join(pieces) if len(pieces) > 1 else body


async def attended(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Await `work`; the moment the client leaves it is cancelled, and `ClientLeft` raised once it has cleaned up.

    Our own server tells (`http.Turn.leaving`); any other ASGI server is asked by a task that watches.
    """
    task, left = cast("asyncio.Task[Any]", asyncio.current_task()), False

    def leave() -> None:
        nonlocal left
        if not left:
            left = True
            task.cancel()

    watch = None
    if leaving := getattr(receive, "leaving", None):
        leaving(leave)
    else:
        watch = asyncio.ensure_future(_leaving(receive, leave))
    try:
        return await work
    except asyncio.CancelledError:
        if left:
            task.uncancel()
            raise ClientLeft from None
        raise
    finally:
        if leaving:
            leaving(None)
        elif watch:
            watch.cancel()


async def _leaving(receive: Receive, leave: Callable[[], None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    leave()


def _compressed(coding: str) -> MalformedError:
    return MalformedError(
        f"The body is compressed ({coding[:60]}).", "Send it as it is, without Content-Encoding.",
        param="Content-Encoding", code="compressed_body",
    )  # fmt: skip


def _too_large(cap: int) -> TooLargeError:
    return TooLargeError(
        f"The body is over {cap:,} bytes.", "Send less text, or raise server.max_body.", code="body_too_large"
    )
