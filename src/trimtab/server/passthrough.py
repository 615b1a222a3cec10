"""/v1/files, /v1/batches and /v1/messages/batches: passed to the server of the one model that the settings name.

Nothing of what passes is masked, guarded or priced, so it is off until `[server] files` or `message_batches` says
otherwise. Bodies stream; a key sees what it made itself, an admin all.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from trimtab.answer import _failures as failures
from trimtab.errors import LimitError, MalformedError
from trimtab.server.callers import Caller
from trimtab.server.owners import Kind, Owners, sees_all
from trimtab.server.passage import ID, Download, Passage, Setting, entered, id_of
from trimtab.server.peer import Peer, Said, Upload
from trimtab.server.place import Place, body, place
from trimtab.types import Json

if TYPE_CHECKING:
    from trimtab.types import Request as Asked

PAGE = 100
"""Entries asked for at a time where those of one owner are looked for: what all lists allow."""
LISTED: dict[Kind, int] = {"file": 10_000, "batch": 20, "message_batch": 20}
"""Entries of a list where the client sets no limit."""
PAGES = 1000


Handler: TypeAlias = Callable[[Passage], Awaitable[Response]]


async def check_named(peers: Mapping[str, Peer], here: Place, caller: Caller, asked: "Asked") -> None:
    """Raises `NotFoundError` for a message that names a file of another key's."""
    if (there := peers.get("files")) and not sees_all(caller):
        owners = Owners(here.store(), there.name)
        for name in sorted(_named(asked.messages)):
            if await owners.of("file", name) not in (None, caller.principal):
                await owners.check(caller, "file", name, "messages")


def _passed(setting: Setting, kind: Kind, path: str, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """The handler for those who may pass."""

    @wraps(handler)
    async def passes(request: Request) -> Response:
        passage = await entered(request, setting, kind, path)
        try:
            return await handler(passage)
        except Said as said:
            passage.log(request.method, said.status)
            return passage.reply(said.found, said.status)

    return passes


async def _upload(at: Passage) -> Response:
    """Create from a body that is streamed. Raises `TooLargeError`, `MalformedError`, `ClientLeft` besides."""
    if at.kind == "message_batch":
        _check_budget(at)
    here = place(at.request)
    await here.check()  # what nobody could be said to own must not be created
    sent = Upload(at.request.receive, dict(at.request.scope["headers"]), here.settings.server.max_file)
    sent.check()
    return at.reply(await at.made(await at.ask("POST", at.path, sent)))


async def _batch(at: Passage) -> Response:
    """Create a batch of a file's lines. Raises `RequestError`s, `LimitError`."""
    _check_budget(at)
    given = await body(at.request)
    file = given.get("input_file_id")
    if file is not None:
        if not isinstance(file, str) or not ID.fullmatch(file):
            raise MalformedError("input_file_id is no id.", "Upload a file first.", param="input_file_id")
        await at.owners.check(at.caller, "file", file, "input_file_id")
    await place(at.request).check()
    return at.reply(await at.made(await at.ask("POST", at.path, msgspec.json.encode(given))))


async def _show(at: Passage) -> Response:
    return at.reply(await at.seen(await at.ask("GET", f"{at.path}/{await at.id()}")))


async def _cancel(at: Passage) -> Response:
    return at.reply(await at.seen(await at.ask("POST", f"{at.path}/{await at.id()}/cancel")))


async def _delete(at: Passage) -> Response:
    name = await at.id()
    found = await at.ask("DELETE", f"{at.path}/{name}")
    await at.owners.forget(at.kind, name)
    return at.reply(found)


async def _content(at: Passage, last: str) -> Response:
    return Download(at, f"{at.path}/{await at.id()}/{last}", place(at.request).settings.server.max_file)


async def _list(at: Passage) -> Response:
    """The page that was asked for; a key's own entries are looked for in as many of the server's pages as it takes."""
    query = dict(at.request.query_params)
    if sees_all(at.caller):
        found = await at.ask("GET", at.path, query=query)
        return at.reply({**found, "data": [await at.seen(one) for one in _data(found, at.peer)]})
    most = _limit(query.pop("limit", None), LISTED[at.kind])
    mine = await at.owners.all_of(at.kind, at.caller.principal)
    entries, more = await _mine(at, query, mine, most)
    shown = [await at.seen(one) for one in entries]
    ends = {"first_id": shown[0]["id"] if shown else None, "last_id": shown[-1]["id"] if shown else None}
    head = {} if at.kind == "message_batch" else {"object": "list"}
    return at.reply({**head, "data": shown, **ends, "has_more": more})


async def _mine(at: Passage, query: dict[str, str], mine: set[str], most: int) -> tuple[list[Json], bool]:
    """At most `most` entries of `mine` from a cursor on, and whether there are more. Raises `UpstreamError`s."""
    back = "before_id" in query
    cursor = "before_id" if back else "after_id" if at.kind == "message_batch" else "after"
    found, left, seen = list[Json](), set(mine), set[str]()
    for _ in range(PAGES):
        if not left:
            return found, False
        page = await at.ask("GET", at.path, query={**query, "limit": str(PAGE)})
        entries = _data(page, at.peer)
        ids = [id_of(one, at.peer) for one in entries]
        own = [one for one in entries if one["id"] in left]
        left -= set(ids)
        found = [*own, *found] if back else [*found, *own]
        if len(found) > most:
            return (found[-most:] if back else found[:most]), True
        if not page.get("has_more") or not ids or seen.issuperset(ids):
            return found, False
        seen.update(ids)
        query = {**query, cursor: ids[0] if back else ids[-1]}
    raise failures.broken(at.peer.name, "its list has no end")


def _check_budget(at: Passage) -> None:
    """What a batch will take is not known before it is done, and then to its server alone."""
    bounds = (*at.caller.bounds, *at.caller.scoped.get(at.peer.name, ()))
    if any(bound.what in ("nano", "tokens") for bound in bounds):
        raise LimitError(
            "What a batch takes is not counted here, and there is a limit of tokens or USD.",
            "Use a key without such a limit for batches.", code="price_unknown",
        )  # fmt: skip


def _limit(given: str | None, otherwise: int) -> int:
    if given is None:
        return otherwise
    if not given.isdecimal() or not 1 <= int(given) <= 10_000:
        raise MalformedError("limit is wrong.", "It must be a whole number from 1 to 10000.", param="limit")
    return int(given)


def _data(found: Json, there: Peer) -> list[Json]:
    data = found.get("data")
    if not isinstance(data, list) or not all(isinstance(one, dict) for one in cast("list[Any]", data)):
        raise failures.broken(there.name, "its response is no list")
    return data


def _named(value: Any) -> set[str]:
    """The ids of files in messages, wherever they stand."""
    if isinstance(value, dict):
        known = cast("Json", value)
        inner = [known["file_id"]] if isinstance(known.get("file_id"), str) else []
        return {*inner, *(name for one in known.values() for name in _named(one))}
    if isinstance(value, list | tuple):
        return {name for one in cast("list[Any]", value) for name in _named(one)}
    return set()


def _routes(
    setting: Setting, kind: Kind, path: str, *handlers: tuple[str, str, Handler]
) -> tuple[tuple[str, Any, str, str], ...]:
    """Rows of the gateway's table of routes."""
    return tuple(
        (f"/v1/{path}{rest}", _passed(setting, kind, path, handler), method, "client")
        for rest, method, handler in handlers
    )


ROUTES = (
    *_routes(
        "files", "file", "files", ("", "POST", _upload), ("", "GET", _list), ("/{id}", "GET", _show),
        ("/{id}", "DELETE", _delete), ("/{id}/content", "GET", partial(_content, last="content")),
    ),
    *_routes(
        "files", "batch", "batches", ("", "POST", _batch), ("", "GET", _list), ("/{id}", "GET", _show),
        ("/{id}/cancel", "POST", _cancel),
    ),
    *_routes(
        "message_batches", "message_batch", "messages/batches", ("", "POST", _upload), ("", "GET", _list),
        ("/{id}", "GET", _show), ("/{id}", "DELETE", _delete), ("/{id}/cancel", "POST", _cancel),
        ("/{id}/results", "GET", partial(_content, last="results")),
    ),
)  # fmt: skip
"""Path, handler, method and role, as `app` mounts them."""
