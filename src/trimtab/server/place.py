"""What the routes beside the hot one share: the desk and its store, strict bodies in, JSON out."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from trimtab.errors import NotFoundError
from trimtab.flow import Desk
from trimtab.server import limits, strict_json
from trimtab.settings import Settings
from trimtab.types import Json

if TYPE_CHECKING:
    from trimtab.encode.encoder import Encoder
    from trimtab.store.engine import Store


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One gateway's parts; without a store there are no traces and no tickets, without an encoder no embeddings."""

    desk: Desk
    settings: Settings
    store_of: "Callable[[], Store] | None" = None
    encoder_of: "Callable[[], Encoder] | None" = None

    def store(self) -> "Store":
        if not self.store_of:
            raise NotFoundError("This gateway keeps no record.", 'Add a recorder: [[record]] kind = "ledger".')
        return self.store_of()

    async def check(self) -> None:
        """Raise `StorageError` while the store does not take writes."""
        if self.store_of:
            await self.store_of().check()


def place(request: Request) -> Place:
    return request.app.state.place


async def body(request: Request) -> Json:
    """The request's strict JSON object. Raises `MalformedError`, `TooLargeError` or `ClientLeft`."""
    caps = place(request).settings.server
    raw = await limits.read(request.receive, dict(request.scope["headers"]), caps.max_body)
    return strict_json.decode(raw, caps.max_depth)


def json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, headers, "application/json")
