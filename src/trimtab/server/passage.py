"""One request on its way to a named model's server and back: who may send it, what goes along, and whose it is."""

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from trimtab.answer import _failures as failures
from trimtab.errors import AuthError, ConfigError, NotFoundError, RequestError, TrimtabError
from trimtab.escalate import kept_from
from trimtab.server import admission, limits, openai
from trimtab.server.callers import Caller
from trimtab.server.limits import ClientLeft
from trimtab.server.logs import TRACE
from trimtab.server.owners import Kind, Owners
from trimtab.server.peer import Peer, Said, Upload, peer
from trimtab.server.place import Place, json, place
from trimtab.types import Json, Limits

if TYPE_CHECKING:
    from aiohttp import ClientResponse

LOG = logging.getLogger("trimtab.server")
Setting: TypeAlias = Literal["files", "message_batches"]
KINDS: dict[Setting, str] = {"files": "openai_http", "message_batches": "anthropic_http"}
"""The kind of the model that each setting names."""
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")
UP = ("content-type", "accept", "anthropic-version", "anthropic-beta")
"""Headers of the client's that go to the server."""
DOWN = ("content-disposition", "content-length")
"""Headers of the server's that go to the client beside the type."""
SHOWN = re.compile(
    r"application/(json|x-ndjson|x-jsonl|jsonl|octet-stream|binary|pdf)\b|text/(plain|csv)\b|image/png\b"
)
"""Types that leave as they came; another one leaves as bytes: no page of somebody's may run under our address."""
MADE = ("output_file_id", "error_file_id")
"""Files that a batch's server made for the batch's owner."""


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """One request that is passed on: to whom, from whom, and whose what is there is."""

    request: Request
    peer: Peer
    caller: Caller
    owners: Owners
    trace: str
    kind: Kind
    path: str

    async def ask(
        self, method: str, path: str, data: Upload | bytes | None = None, query: Mapping[str, str] | None = None
    ) -> Json:
        """The server's JSON. Raises `UpstreamError`s, `Said`, and what the body raises."""
        async with self.peer.call(method, path, query or {}, self.headers(data), data) as response:
            self.log(method, response.status)
            return await self.peer.read(response)

    def headers(self, data: Upload | bytes | None) -> dict[str, str]:
        given = {name: self.request.headers[name] for name in UP if name in self.request.headers}
        if data is None:
            given.pop("content-type", None)
        return {**given, "content-type": "application/json"} if isinstance(data, bytes) else given

    def log(self, method: str, status: int) -> None:
        LOG.info("%s of a %s passed on to %s: %d", method, self.kind, self.peer.name, status)

    def reply(self, found: Json, status: int = 200) -> Response:
        return json(found, status, self.trace_headers())

    def trace_headers(self) -> dict[str, str]:
        found = {name.decode(): value.decode() for name, value in openai.of_trace(self.trace)}
        return {**found, "request-id": self.trace} if self.kind == "message_batch" else found

    async def id(self) -> str:
        """The id in the path, once it is known to be one and the caller's. Raises `NotFoundError`."""
        found = self.request.path_params["id"]
        if not ID.fullmatch(found):
            raise NotFoundError("That is no id.", "Use the one that the server gave.", param="id")
        await self.owners.check(self.caller, self.kind, found)
        return found

    async def made(self, found: Json) -> Json:
        """What was just created, once its owner is on disk."""
        await self.owners.keep(self.kind, id_of(found, self.peer), self.caller.principal)
        return await self.seen(found)

    async def seen(self, found: Json) -> Json:
        """One entry as the caller may see it: what its server made for its owner is the owner's too."""
        if self.kind == "batch" and (files := [found[name] for name in MADE if isinstance(found.get(name), str)]):
            owner = await self.owners.of("batch", id_of(found, self.peer))
            if owner is not None:
                await self.owners.keep_made("file", files, owner)
        if found.get("results_url"):  # the client would take its key there
            return {**found, "results_url": f"/v1/{self.path}/{id_of(found, self.peer)}/results"}
        return found


def peers(here: Place) -> dict[str, Peer]:
    """The servers that the settings name. Raises `ConfigError` for one that nothing may be passed to."""
    given, found = here.settings, dict[str, Peer]()
    parts = {part.name: part for part in given.models}
    for setting, kind in KINDS.items():
        if not (name := getattr(given.server, setting)):
            continue
        if name not in parts or name not in here.desk.specs:
            known = ", ".join(name for name, part in parts.items() if part.kind == kind) or "none yet"
            raise ConfigError(
                f"[server] {setting} names {name!r}, which is no model.", f"Models of the kind {kind}: {known}."
            )
        found[setting] = peer(setting, kind, parts[name], here.desk.specs[name], given)
    return found


async def entered(request: Request, setting: Setting, kind: Kind, path: str) -> Passage:
    """Raises `NotFoundError` where nothing is passed on, `AuthError`, `RequestError` and `LimitError`."""
    here, there = place(request), request.app.state.peers.get(setting)
    if there is None:
        raise NotFoundError(
            f"/v1/{path} is not passed on here.",
            f'Set [server] {setting} to the name of a model of the kind {KINDS[setting]} that is inside or has '
            "mask = false: what passes is neither masked nor checked.", code="not_passed_on",
        )  # fmt: skip
    caller = admission.caller()
    if caller.models and there.name not in caller.models:
        raise AuthError(
            f"This key may not use the model {there.name!r}, whose server this is passed to.",
            f"It may use: {', '.join(sorted(caller.models))}.", code="model_not_allowed",
        )  # fmt: skip
    if request.headers.get("x-trimtab-where") == "local" and there.spec.where != "local":
        raise RequestError(
            f"The server of {there.name} is not inside.", "Leave out x-trimtab-where: local.", param="x-trimtab-where"
        )
    regions = openai.of_header(dict(request.scope["headers"]).get(b"x-trimtab-regions"))
    if kept_from(there.spec, Limits(regions=regions)):
        raise RequestError(
            f"The server of {there.name} is in none of these regions.", "Name its region, or leave the header out.",
            param="x-trimtab-regions",
        )  # fmt: skip
    trace = openai.new_id()
    TRACE.set(trace)
    await admission.take(1, 0, there.name)
    owners = Owners(here.store(), there.name)
    return Passage(
        request=request, peer=there, caller=caller, owners=owners, trace=trace, kind=kind, path=path
    )  # fmt: skip


class Download(Response):
    """A body that is streamed to the client; one that breaks off leaves the connection unfinished."""

    def __init__(self, at: Passage, path: str, cap: int) -> None:
        super().__init__()
        self._at, self._path, self._cap = at, path, cap

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        at = self._at
        try:
            async with at.peer.call("GET", self._path, {}, at.headers(None)) as response:
                at.log("GET", response.status)
                await limits.attended(receive, self._sent(response, send))
        except Said as said:
            await at.reply(said.found, said.status)(scope, receive, send)
        except ClientLeft:
            return

    async def _sent(self, response: "ClientResponse", send: Any) -> None:
        head = Response(status_code=response.status, headers={**self._at.trace_headers(), **_headers(response)})
        raw = [
            pair for pair in head.raw_headers if pair[0] != b"content-length" or "Content-Length" in response.headers
        ]
        await send({"type": "http.response.start", "status": response.status, "headers": raw})
        try:
            async for piece in self._at.peer.pieces(response, self._cap):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except TrimtabError as error:  # the head has left: that the body has no end is all that can be said
            LOG.warning("a %s of %s was cut", self._at.kind, self._at.peer.name, exc_info=error)
            return
        await send({"type": "http.response.body", "body": b""})


def _headers(response: "ClientResponse") -> dict[str, str]:
    given = response.headers.get("Content-Type", "")
    found = {name: response.headers[name] for name in DOWN if name in response.headers}
    return {
        "content-disposition": "attachment", **found,
        "content-type": given if SHOWN.match(given) else "application/octet-stream",
    }  # fmt: skip


def id_of(found: Json, there: Peer) -> str:
    """The id of an entry. Raises `UpstreamError` for one that has none."""
    name = found.get("id")
    if not isinstance(name, str) or not ID.fullmatch(name):
        raise failures.broken(there.name, "its response has no id")
    return name
