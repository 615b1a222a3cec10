"""What people write first: a proxy of 30 lines, FastAPI and httpx.

uvicorn fastapi_proxy:app      (in its own environment; UPSTREAM is the address of the API, without /v1)
"""

import os
from collections.abc import AsyncIterator

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

app = FastAPI()
limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
client = httpx.AsyncClient(base_url=os.environ["UPSTREAM"], limits=limits, timeout=600, trust_env=False)


@app.post("/v1/chat/completions")
async def chat(request: Request) -> Response:
    body = await request.body()
    sent = client.build_request("POST", request.url.path, content=body, headers={"content-type": "application/json"})
    got = await client.send(sent, stream=True)
    kind = got.headers["content-type"]
    if kind.startswith("text/event-stream"):
        return StreamingResponse(_events(got), got.status_code, media_type=kind)
    content = await got.aread()
    return Response(content, got.status_code, media_type=kind)


async def _events(got: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for part in got.aiter_raw():
            yield part
    finally:
        await got.aclose()
