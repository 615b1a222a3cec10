"""The service that `ask`, `chat` and `demo` talk to: the gateway of the same system, else the path in this process."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from urllib.parse import urlsplit

import msgspec

from trimtab import flow
from trimtab.cli import _home, _recipe, _reply
from trimtab.cli._reply import Reply
from trimtab.errors import ConfigError, NotFoundError, UpstreamDownError, UpstreamError
from trimtab.server import openai
from trimtab.settings import Settings
from trimtab.types import Delta, Json, Outcome, Pending, Trace

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

    from trimtab.wiring import System

Write: TypeAlias = Callable[[str], None]
PATIENCE = 0.5
"""Seconds in which a gateway on this machine says that it is there."""
PENDING = 428


class Peer(msgspec.Struct, frozen=True):
    """A Trimtab that listens: its version, and which system it serves (`Settings.identity`)."""

    version: str
    system: str


class Service(Protocol):
    """Where requests go; `address` is the gateway's URL, empty in this process."""

    address: str

    async def ask(
        self, messages: Sequence[Json], *, model: str = "auto", params: Json | None = None, cache: bool = True,
        limits: Json | None = None, write: Write | None = None,
    ) -> Reply: ...  # fmt: skip

    async def trace(self, id: str) -> dict[str, Any]: ...


class Gateway:
    """A gateway over HTTP."""

    def __init__(self, session: "ClientSession", address: str) -> None:
        self._session, self.address = session, address

    async def ask(
        self, messages: Sequence[Json], *, model: str = "auto", params: Json | None = None, cache: bool = True,
        limits: Json | None = None, write: Write | None = None,
    ) -> Reply:  # fmt: skip
        """Raises the `TrimtabError` that the gateway's error stands for; `write` takes the answer as it streams."""
        body = _body(messages, model, params, _mine(cache, limits), write)
        began = time.perf_counter()
        async with self._session.post(
            f"{self.address}/v1/chat/completions", data=msgspec.json.encode(body), allow_redirects=False
        ) as said:
            if write and said.content_type == "text/event-stream":
                return await _streamed(said, write, began)
            decoded = _decoded(said.status, await said.read())
            return _reply.of_response(said.status, decoded, (time.perf_counter() - began) * 1e3)

    async def trace(self, id: str) -> dict[str, Any]:
        async with self._session.get(f"{self.address}/v1/traces/{id}", allow_redirects=False) as said:
            decoded = _decoded(said.status, await said.read())
        if "error" in decoded:
            raise _reply.raised(said.status, decoded["error"])
        return decoded


class Here:
    """The path in this process: the same desk as a gateway's."""

    address = ""

    def __init__(self, system: "System") -> None:
        self._system = system

    async def ask(
        self, messages: Sequence[Json], *, model: str = "auto", params: Json | None = None, cache: bool = True,
        limits: Json | None = None, write: Write | None = None,
    ) -> Reply:  # fmt: skip
        """Raises the errors of `flow.run`."""
        body = _body(messages, model, params, _mine(cache, limits), write)
        asked, written = openai.request(body, {}, openai.new_id()), _Written(write)
        outcome, trace = await flow.run(self._system.desk, asked, written.emit if write else None)
        reply = _reply.of_response(*self._rendered(outcome, trace), trace.ms)
        written.rest(reply.text)
        return reply

    def _rendered(self, outcome: Outcome, trace: Trace) -> tuple[int, Json]:
        """Status and body as the gateway would have sent them."""
        if isinstance(outcome, Pending):
            return PENDING, {"error": openai.waiting(outcome, trace)}
        spec = self._system.desk.specs.get(trace.answered_by)
        return 200, openai.completion(outcome, trace, recorded=spec is not None and spec.recorded)

    async def trace(self, id: str) -> dict[str, Any]:
        """As the ledger keeps it. Raises `NotFoundError`."""
        from trimtab.record import _read

        found = await _read.trace(self._system.store, id)
        if found is None:
            raise NotFoundError(f"There is no trace {id!r}.", 'Has the recipe a [[record]] kind = "ledger"?')
        return found


class _Written:
    """What of the first choice has been written; an answer that was decided first is written as a whole."""

    def __init__(self, write: Write | None) -> None:
        self._write, self._begun = write, False

    async def emit(self, delta: Delta) -> None:
        if self._write and delta.index == 0 and delta.text:
            self._begun = True
            self._write(delta.text)

    def rest(self, text: str | None) -> None:
        if self._write and text and not self._begun:
            self._write(text)


@asynccontextmanager
async def reach(settings: Settings, say: Write, via: str = "") -> AsyncIterator[Service]:
    """The gateway at the settings' address where it serves these very settings, else the path opened in this process.

    `via` is a gateway's URL to be asked whatever it serves. Raises `ConfigError` where it is none.
    """
    async with session(settings) as opened:
        there = None if via else await peer(opened, address(settings))
        if via or (there and there.system == settings.identity):
            yield Gateway(opened, _origin(via) if via else address(settings))
            return
    if there:
        say(_elsewhere(settings))
    from trimtab.wiring import open_system

    async with open_system(settings, say) as system:
        _home.mark(settings)
        yield Here(system)


def _elsewhere(settings: Settings) -> str:
    where = address(settings)
    return (
        f"The gateway at {where} is another system: its recipe, TRIMTAB_HOME, TRIMTAB_LARGE, TRIMTAB_SMALL or the keys "
        f"that are set differ from {_recipe.of(settings)} here. This runs without it; --via {where} would ask it."
    )


def _origin(via: str) -> str:
    """A gateway's URL, with or without the /v1 that clients need. Raises `ConfigError`."""
    try:
        parts = urlsplit(via)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fine = False
    if not fine:
        raise ConfigError(f"--via {via!r} is not the address of a gateway.", "Write --via http://127.0.0.1:8080.")
    return via.rstrip("/").removesuffix("/v1")


@asynccontextmanager
async def gateway(settings: Settings, address: str) -> AsyncIterator[Gateway]:
    """The gateway at an address that is known to be ours."""
    async with session(settings) as opened:
        yield Gateway(opened, address)


async def peer(session: "ClientSession", address: str) -> Peer | None:
    """The Trimtab that listens at an address, None where something else or nothing does."""
    from aiohttp import ClientError, ClientTimeout

    try:
        async with session.get(
            f"{address}/healthz", allow_redirects=False, timeout=ClientTimeout(total=PATIENCE)
        ) as said:
            found = msgspec.json.decode(await said.read())
    except (ClientError, TimeoutError, OSError, msgspec.DecodeError):
        return None
    if not isinstance(found, dict) or "trimtab" not in found:
        return None
    return Peer(version=str(found["trimtab"]), system=str(found.get("system", "")))


@asynccontextmanager
async def session(settings: Settings) -> AsyncIterator["ClientSession"]:
    """A client session that carries the gateway's key; what fails on its wire is an `UpstreamError`."""
    from aiohttp import ClientConnectionError, ClientError, ClientSession, ClientTimeout

    key = settings.secrets.get("TRIMTAB_API_KEY")
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
    async with ClientSession(headers=headers, timeout=ClientTimeout(total=None, sock_connect=5)) as opened:
        try:
            yield opened
        except ClientConnectionError as error:
            fix = f"Start it: {_recipe.hint('serve', _recipe.of(settings))}"
            raise UpstreamDownError(f"The gateway cannot be reached: {error}.", fix) from error
        except ClientError as error:
            raise UpstreamError(f"The gateway cut the connection: {error}.", "Try again.") from error


async def _streamed(said: "ClientResponse", write: Write, began: float) -> Reply:
    """The reply of a stream, written as it comes; an error event inside of it raises."""
    message: Json = {"content": ""}
    about: Json = {}
    async for event in _events(said):
        if event == b"[DONE]":
            return _reply.of_message(message, about, (time.perf_counter() - began) * 1e3)
        chunk = _decoded(said.status, event)
        if "error" in chunk:
            return _reply.of_response(said.status, chunk, (time.perf_counter() - began) * 1e3)
        about = chunk.get("trimtab") or about
        for choice in chunk.get("choices") or ():
            if choice.get("index", 0) == 0 and (text := choice["delta"].get("content")):
                message["content"] += text
                write(text)
    raise UpstreamError("The gateway cut the answer short.", "Try again.")


async def _events(said: "ClientResponse") -> AsyncIterator[bytes]:
    """The data of our own gateway's events: one line each, whatever its length."""
    held = b""
    async for piece in said.content.iter_any():
        *lines, held = (held + piece).split(b"\n")
        for line in lines:
            if line.startswith(b"data: "):
                yield line[6:].strip()


def _decoded(status: int, raw: bytes) -> Json:
    try:
        decoded = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        decoded = None
    if not isinstance(decoded, dict):
        raise UpstreamError(f"The gateway answered {status} without JSON.", "Is it Trimtab that listens there?")
    return decoded


def address(settings: Settings) -> str:
    """Where to reach the settings' gateway, which may listen on all addresses."""
    host = "127.0.0.1" if settings.server.host in ("0.0.0.0", "::", "localhost") else settings.server.host  # noqa: S104
    return f"http://[{host}]:{settings.server.port}" if ":" in host else f"http://{host}:{settings.server.port}"


def _body(messages: Sequence[Json], model: str, params: Json | None, mine: Json, write: Write | None) -> Json:
    """A chat completion's request as any client would send it."""
    body = {**(params or {}), "model": model, "messages": list(messages), "stream": write is not None}
    return {**body, "trimtab": mine} if mine else body


def _mine(cache: bool, limits: Json | None) -> Json:
    """The `trimtab` object of a request: what differs from the defaults."""
    return {**({} if cache else {"cache": False}), **({"limits": limits} if limits else {})}
