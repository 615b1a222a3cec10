"""What a flow does outside: calls of the user's functions and POSTs, and what is known of one that went wrong."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import msgspec
from aiohttp import ClientConnectorError, ClientError, ClientSession, ClientTimeout, TCPConnector

from trimtab.egress import Denied, Egress, Network
from trimtab.types import Json
from trimtab.workflow.encoding import encoded
from trimtab.workflow.result import Done, Fails, Result
from trimtab.workflow.steps import Call, Post, Retry

LONGEST = 1_000_000
"""Bytes of a response that are read."""
LATER = frozenset({408, 425, 429, 503})
"""Statuses by which a server says that it did not do it now."""


class NotDone(Exception):  # noqa: N818 - read as "the effect is ..."
    """A user's function raises it to say that nothing happened: it may be called again."""


async def call(step: Call, function: Callable[..., Any], arguments: Json, key: str) -> Done | Fails:
    """Call a user's function; one that is not async runs in a thread, which no time limit can end.

    What an effect raises says nothing of whether it happened, unless it is `NotDone`.
    """
    given = {**arguments, "key": key} if step.effect else arguments
    try:
        async with asyncio.timeout(step.timeout):
            output = await _called(function, given)
        encoded(output)
    except NotDone as error:
        return Fails(code="not_done", why=f"{step.function}: {error}", retry=True)
    except TimeoutError:
        why = f"{step.function} did not end within {step.timeout:g} s."
        return Fails(code="call_failed", why=why, retry=not step.effect, unknown=step.effect)
    except Exception as error:  # noqa: BLE001 - the user's code
        why = f"{step.function} raised {type(error).__name__}: {str(error)[:300]}"
        return Fails(code="call_failed", why=why, retry=not step.effect, unknown=step.effect)
    return Done(output=output)


async def _called(function: Callable[..., Any], given: Json) -> Any:
    found = function(**given) if inspect.iscoroutinefunction(function) else asyncio.to_thread(function, **given)
    return msgspec.to_builtins(await found)


async def post(step: Post, body: Any, key: str, token: str, networks: tuple[Network, ...]) -> Done | Fails:
    """POST once on a connection of its own: a kept one may be closed as it is used, and nobody would know."""
    host = urlsplit(step.url).hostname or ""
    headers = {"content-type": "application/json", "idempotency-key": key}
    headers |= {"authorization": f"Bearer {token}"} if token else {}
    egress = Egress(where="remote", networks=networks)
    try:
        egress.check(host)
        connector = TCPConnector(force_close=True, socket_factory=egress.dialler(host))
        async with (
            ClientSession(connector=connector, timeout=ClientTimeout(total=step.timeout)) as session,
            session.post(step.url, data=encoded(body).encode(), headers=headers, allow_redirects=False) as said,
        ):
            return _told(step, said.status, await said.content.read(LONGEST))
    except Denied as error:
        return Fails(code="egress_denied", why=f"{error} {error.fix}")
    except ClientConnectorError as error:
        denied = isinstance(error.os_error, Denied)
        code = "egress_denied" if denied else "effect_down"
        return Fails(code=code, why=f"{step.url} cannot be reached: {error.os_error}", retry=not denied)
    except (ClientError, TimeoutError, OSError) as error:
        why = f"{step.url} did not answer: {type(error).__name__} {error}".strip()
        return Fails(code="effect_unknown", why=why, retry=True, unknown=True)


def _told(step: Post, status: int, raw: bytes) -> Done | Fails:
    if 200 <= status < 300:
        value: Any = raw.decode("utf-8", "replace")
        with suppress(msgspec.DecodeError, RecursionError, UnicodeError):
            value = msgspec.json.decode(raw)
        return Done(output={"status": status, "said": value})
    why = f"{step.url} answered {status}: {raw[:300].decode('utf-8', 'replace')}"
    if status >= 500 and status not in LATER:
        return Fails(code="effect_unknown", why=why, retry=True, unknown=True)
    return Fails(code="effect_refused", why=why, retry=status in LATER)


async def tried(attempt: Callable[[bool], Awaitable[Result]], retry: Retry, again: Callable[[Fails], bool]) -> Result:
    """The result of the first try of which `again` does not hold; `attempt` is told whether it is the last one.

    Tries follow each other after `wait` seconds, twice that, and so on.
    """
    for number in range(retry.times):
        result = await attempt(False)
        if not (isinstance(result, Fails) and again(result)):
            return result
        await asyncio.sleep(min(retry.most, retry.wait * 2**number))
    return await attempt(True)
