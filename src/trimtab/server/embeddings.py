"""POST /v1/embeddings: the house encoder's 384 numbers a text, as floats or as base64 of little-endian float32."""

import asyncio
import base64
from typing import Any, cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from trimtab.errors import MalformedError, NotFoundError, TooLargeError
from trimtab.server import admission
from trimtab.server.limits import attended
from trimtab.server.place import body, json, place
from trimtab.types import Json

MODEL = "all-MiniLM-L6-v2"
TEXTS, CHARACTERS = 2048, 400_000
"""Caps of one call: OpenAI's number of texts, and what one core embeds in about ten seconds."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted: the texts, and how their numbers are written."""

    texts: tuple[str, ...]
    packed: bool


async def create(request: Request) -> Response:
    """Embed the input's texts. Raises `RequestError`s."""
    here, asked = place(request), wish(await body(request))
    if not here.encoder_of:
        raise NotFoundError("This gateway has no encoder.", "Start it with `trimtab serve`.")
    encoder = here.encoder_of()
    tokens = await asyncio.to_thread(lambda: sum(map(encoder.tokens, asked.texts)))  # up to a second of one core
    await admission.take(1, tokens)
    vectors = await attended(request.receive, encoder.embed(list(asked.texts)))
    data = [
        {"object": "embedding", "index": i, "embedding": _written(vector, asked.packed)}
        for i, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json({"object": "list", "data": data, "model": MODEL, "usage": usage})


def wish(given: Json) -> Wish:
    """What a body asks for. Raises `RequestError`s that name the field; a wish that cannot be met is never dropped."""
    if (name := given.get("model")) not in (None, "auto", MODEL):
        raise NotFoundError(
            f"There is no embedding model {name!r}.", f"Ask for {MODEL!r} or 'auto'.", param="model",
            code="model_not_found",
        )  # fmt: skip
    if given.get("dimensions") not in (None, 384):
        raise _wrong("dimensions", "left out: the encoder has 384 and was not trained to be cut")
    if (form := given.get("encoding_format")) not in (None, "float", "base64"):
        raise _wrong("encoding_format", "float or base64")
    return Wish(texts=_texts(given.get("input")), packed=form == "base64")


def _texts(given: Any) -> tuple[str, ...]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise _wrong("input", "a text or a list of texts")
    if not all(isinstance(text, str) for text in cast("list[Any]", texts)):
        raise _wrong("input", "a text or a list of texts, not tokens: they are another model's")
    found = tuple(cast("list[str]", texts))
    if any(not text for text in found):
        raise _wrong("input", "without empty texts")
    if len(found) > TEXTS or sum(map(len, found)) > CHARACTERS:
        raise TooLargeError(
            f"input has {len(found):,} texts of {sum(map(len, found)):,} characters.",
            f"Send at most {TEXTS:,} texts and {CHARACTERS:,} characters at once.", param="input",
        )  # fmt: skip
    return found


def _written(vector: Any, packed: bool) -> str | list[float]:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode() if packed else vector.tolist()


def _wrong(param: str, must: str) -> MalformedError:
    return MalformedError(f"{param} is missing or wrong.", f"It must be {must}.", param=param)
