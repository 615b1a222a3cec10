"""POST /v1/chat/completions: OpenAI's chat format, in which the path itself speaks."""

from collections.abc import Mapping

from trimtab.server import openai
from trimtab.server.exchange import Single
from trimtab.server.limits import Send
from trimtab.server.sse import Stream
from trimtab.types import Json


def opened(body: Json, headers: Mapping[bytes, bytes], trace: str, send: Send) -> Single:
    """The exchange that a body opens. Raises `RequestError`s that name the field and the fix."""
    request = openai.request(body, headers, trace)
    return Single(request, Stream(send, request) if request.wishes.stream else None, openai.completion)
