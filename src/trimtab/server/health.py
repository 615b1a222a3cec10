"""GET /healthz (the process lives, and as which system) and /readyz (the store writes, some model may answer, and
it is not about to end).
"""

from starlette.requests import Request
from starlette.responses import Response

from trimtab import __version__
from trimtab.errors import StorageError
from trimtab.server.place import json, place

DRAINING = "trimtab.draining"
"""In the scope of a request that came after the server was told to end."""


async def live(request: Request) -> Response:
    """Always 200: a supervisor restarts what does not answer this, so it says nothing of others' faults.

    `system` tells our own commands whether this gateway is the system they mean (`Settings.identity`).
    """
    return json({"trimtab": __version__, "system": place(request).settings.identity})


async def ready(request: Request) -> Response:
    """200, or 503 with what is not ready."""
    here = place(request)
    problems = [] if here.desk.models else ["No model is configured: see `trimtab doctor`."]
    if request.scope.get(DRAINING):
        problems.append("It ends: send it nothing new.")
    try:
        await here.check()
    except StorageError as error:
        problems.append(str(error))
    return json({"ready": not problems, "problems": problems}, 503 if problems else 200)
