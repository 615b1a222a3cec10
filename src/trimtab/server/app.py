"""The gateway: one ASGI app around a desk; `serving` runs it.

The hot routes are dispatched before Starlette; all others are Starlette's. Every request passes the door first.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from trimtab.errors import NotFoundError, TrimtabError
from trimtab.flow import Desk
from trimtab.server import (
    admission,
    approvals,
    chat,
    completions,
    counting,
    decide,
    embeddings,
    faults,
    health,
    messages,
    metrics,
    models,
    openapi,
    passage,
    passthrough,
    responses,
    traces,
)
from trimtab.server.admission import VISIT, Admission, Visit
from trimtab.server.callers import OPEN, Caller
from trimtab.server.door import Door, door
from trimtab.server.exchange import Endpoint
from trimtab.server.idempotency import HEADER, Replays
from trimtab.server.keyring import Keyring
from trimtab.server.limits import ClientLeft, Receive, Send
from trimtab.server.logs import TRACE
from trimtab.server.place import Place
from trimtab.server.shed import PATHS, Shed
from trimtab.settings import Server, Settings

if TYPE_CHECKING:
    from trimtab.encode.encoder import Encoder
    from trimtab.store.engine import Store
    from trimtab.wiring import System

HOT: tuple[tuple[str, Callable[[Desk, Server], Any], str], ...] = (
    ("/v1/chat/completions", partial(Endpoint, opened=chat.opened), "client"),
    ("/v1/messages", messages.endpoint, "client"),
    ("/v1/responses", partial(Endpoint, opened=responses.opened), "client"),
    ("/v1/completions", partial(Endpoint, opened=completions.opened), "client"),
)
"""Routes that answer, all by POST: path, what makes the handler, and the role that a key needs."""
ROUTES = (
    ("/v1/embeddings", embeddings.create, "POST", "client"),
    ("/v1/decide", decide.create, "POST", "client"),
    ("/v1/systemone", decide.systemone, "POST", "client"),
    ("/v1/messages/count_tokens", counting.of_message, "POST", "client"),
    ("/v1/responses/input_tokens", counting.of_response, "POST", "client"),
    ("/v1/responses/{id:path}", responses.stored, "GET", "client"),
    ("/v1/responses/{id:path}", responses.stored, "DELETE", "client"),
    ("/v1/responses/{id:path}", responses.stored, "POST", "client"),
    *passthrough.ROUTES,
    ("/v1/models", models.listing, "GET", "client"),
    ("/v1/models/{id:path}", models.one, "GET", "client"),
    ("/v1/traces/{id}", traces.show, "GET", "client"),
    ("/v1/feedback", traces.feedback, "POST", "client"),
    ("/approvals", approvals.listing, "GET", "operator"),
    ("/approvals/{id}", approvals.show, "GET", "client"),
    ("/approvals/{id}", approvals.decide, "POST", "operator"),
    ("/healthz", health.live, "GET", "anyone"),
    ("/readyz", health.ready, "GET", "client"),
    metrics.ROUTE,
    openapi.ROUTE,
)
"""All other routes: path, handler, method, and the role; `anyone` needs no key. Clients see what is their own."""

METHODS = ("GET", "POST", "DELETE")
SHOWN = ("x-request-id", "retry-after", "retry-after-ms", "idempotent-replayed", "etag")
"""Headers of a response that a page of an allowed origin may read."""


class Gateway:
    """The ASGI app; `app` makes one."""

    def __init__(self, here: Place, entrance: Door) -> None:
        desk, caps = here.desk, here.settings.server
        self._here = here
        self._replays: Replays | None = None
        self._door = entrance
        self._keyring = Keyring(here.settings, entrance, here.store_of)
        self.admission = Admission(here.store_of)
        self._hot = {path: (make(desk, caps), role) for path, make, role in HOT}
        self._rest = Starlette(
            routes=[Route(path, _allowed(handler, role), methods=[method]) for path, handler, method, role in ROUTES],
            exception_handlers={TrimtabError: _failed, HTTPException: _failed, ClientLeft: _left, Exception: _failed},
        )
        self._rest.state.place = here
        self._peers = self._rest.state.peers = passage.peers(here)
        if self._peers:
            self.admission.vet = partial(passthrough.check_named, self._peers, here)
        self.shed = Shed(-(-caps.inflight // caps.workers), -(-caps.waiting // caps.workers))
        paths = (*(path for path, *_ in HOT), *(path for path, *_ in ROUTES))
        self._app = _shared(metrics.watched(self._enter, desk, paths, (self.shed,)), caps.origins)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def close(self) -> None:
        """Give back what was leased, and close the connections that files went over."""
        for peer in self._peers.values():
            await peer.close()
        await self.admission.close()

    async def _enter(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path, headers = scope["path"], dict(scope["headers"])
        try:
            caller = OPEN if path == "/healthz" else await self._admitted(headers, scope["method"])
            held = path.startswith(PATHS) and (self.shed.enters() or await self.shed.turn(headers, caller))
        except Exception as error:  # noqa: BLE001 - keys that cannot be read let nobody in
            await _refuse(send, error, path)
            return
        try:
            if caller is OPEN:
                await self._serve(scope, headers, receive, send, caller)
                return
            visit = Visit(self.admission, caller, send)
            token = VISIT.set(visit)
            try:
                await self._serve(scope, headers, receive, visit, caller)
            finally:
                VISIT.reset(token)
        finally:
            if held:
                self.shed.left()

    async def _admitted(self, headers: dict[bytes, bytes], method: str) -> Caller:
        self._door.check(headers, method)
        return await self._keyring.caller(headers)

    async def _serve(
        self, scope: dict[str, Any], headers: dict[bytes, bytes], receive: Receive, send: Send, caller: Caller
    ) -> None:
        path = scope["path"]
        if not (found := self._hot.get(path)):
            await self._rest(scope, receive, send)
            return
        if scope["method"] != "POST":
            await _refuse(send, faults.MethodError(scope["method"], path, ["POST"]), path)
            return
        handler, role = found
        try:
            caller.enter(path, role)
            if HEADER in headers:
                await self._once(caller.principal, path, headers, receive, send, handler)
                return
        except ClientLeft:
            return
        except TrimtabError as error:
            await _refuse(send, error, path)
            return
        await handler(headers, receive, send)

    async def _once(self, principal: str, path: str, headers: Any, receive: Receive, send: Send, handler: Any) -> None:
        """Answer a request that has an Idempotency-Key."""
        if not self._replays:
            self._replays = Replays(self._here.store(), self._here.settings.server.max_body)
        await self._replays(principal, path, headers, receive, send, handler)


def app(
    desk: Desk,
    settings: Settings,
    store: "Callable[[], Store] | None" = None,
    encoder: "Callable[[], Encoder] | None" = None,
) -> Gateway:
    """The gateway around a desk. Raises `ConfigError` where it would listen to the world without a key."""
    return Gateway(Place(desk=desk, settings=settings, store_of=store, encoder_of=encoder), door(settings))


def of_system(system: "System") -> Gateway:
    """The gateway around an open system."""
    gateway = app(system.desk, system.settings, system.tools.store, system.tools.encoder)
    system.tools.closing(gateway.close)
    return gateway


def _shared(gateway: Any, origins: tuple[str, ...]) -> Any:
    """The gateway, with what browsers ask for before they let a page of these origins read its responses (CORS)."""
    if not origins:
        return gateway
    return CORSMiddleware(
        gateway, allow_origins=origins, allow_methods=METHODS, allow_headers=("*",), expose_headers=SHOWN
    )


async def _refuse(send: Send, error: Exception, path: str) -> None:
    """Say no before a handler has begun, in the words of the path's dialect."""
    await (messages.fail(send, error) if _is_anthropic(path) else faults.send(send, error, path=path))


def _allowed(handler: Callable[[Request], Awaitable[Response]], role: str) -> Callable[[Request], Awaitable[Response]]:
    """The handler for those who have the role."""

    async def allowed(request: Request) -> Response:
        if role != "anyone":
            admission.caller().enter(request.url.path, role)
        response = await handler(request)
        response.headers.setdefault("cache-control", "no-store")
        return response

    return allowed


async def _failed(request: Request, error: Exception) -> Response:
    """Any fault of the routes beside the hot one. One that nobody foresaw is logged with its traceback by uvicorn."""
    path = request.url.path
    fault = _ours(error, request)
    trace = TRACE.get()
    theirs = _is_anthropic(path) or (path.startswith("/v1/models") and models.anthropic(request))
    status, headers, body = messages.response(fault, trace) if theirs else faults.response(fault, trace, path)
    found = Response(body, status)
    found.raw_headers = [*headers, (b"content-length", b"%d" % len(body))]
    return found


def _is_anthropic(path: str) -> bool:
    """Whether errors leave in Anthropic's form."""
    return path.startswith(messages.PATH)


async def _left(_: Request, __: Exception) -> Response:
    return Response(status_code=499)


def _ours(error: Exception, request: Request) -> Exception:
    """Starlette's 404 and 405 in our words."""
    if not isinstance(error, HTTPException):
        return error
    if error.status_code == 405:
        return faults.MethodError(request.method, request.url.path, _methods(request))
    return NotFoundError(f"There is no {request.url.path} here.", "The routes are in docs/reference/http.md.")


def _methods(request: Request) -> set[str]:
    """The methods of a path: of the routes that name it, else of those with a parameter where it stands."""
    here = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    named = [route for route in here if route.path == request.url.path]
    return {method for route in named or here for method in route.methods}
