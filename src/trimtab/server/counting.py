"""POST /v1/messages/count_tokens and /v1/responses/input_tokens: how many tokens a prompt has.

The model's server counts where the text may go there unseen; else it is an estimate with the house encoder's tokenizer:
text leaves this machine on the path alone, so a server elsewhere is not asked.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request as Call
from starlette.responses import Response

from trimtab import texts
from trimtab.errors import TrimtabError
from trimtab.escalate import kept_from, within
from trimtab.money import estimate
from trimtab.server import admission, anthropic, openai, responses
from trimtab.server.place import Place, body, json, place
from trimtab.types import Json, Request

COUNTED = "x-trimtab-counted-by"
"""Who counted tokens: a model's name, or `estimate`."""
OF_TURN = 4
"""Tokens that the frame of a turn takes, as reckoned for an estimate."""
READ = ("tools", "response_format")
"""Parameters that a model reads besides the messages."""


async def of_message(call: Call) -> Response:
    """Tokens of a message's prompt. Raises `RequestError`s, `LimitError`."""
    given = await body(call)
    asked = anthropic.request(given, dict(call.scope["headers"]), openai.new_id())
    return await _reply(place(call), asked, anthropic.prompt(given), {})


async def of_response(call: Call) -> Response:
    """Tokens of a response's prompt. Raises `RequestError`s, `LimitError`."""
    given = await body(call)
    asked, _ = responses.request(given, dict(call.scope["headers"]), openai.new_id())
    read = {name: asked.params[name] for name in READ if name in asked.params}
    said = [text.text for text in (*texts.texts(asked.messages), *texts.of_params(read))]
    return await _reply(place(call), asked, said, {"object": "response.input_tokens"})


async def _reply(here: Place, asked: Request, said: Sequence[str], more: Json) -> Response:
    await admission.take(1, 0)
    tokens, by = await _counted(here, asked)
    if tokens is None:
        count = here.encoder_of().tokens if here.encoder_of else estimate
        tokens = OF_TURN * len(asked.messages)
        tokens += await asyncio.to_thread(lambda: sum(map(count, said)))
    return json({**more, "input_tokens": tokens}, headers={COUNTED: by})


async def _counted(here: Place, asked: Request) -> tuple[int | None, str]:
    """The count of the model that is asked for by name, if it is inside and can count."""
    name = asked.wishes.model
    counting: Any = getattr(here.desk.models.get(name), "count", None)
    if not counting:
        return None, "estimate"
    spec, limits = here.desk.specs[name], within(asked, here.desk.regions).limits
    if spec.where != "local" or kept_from(spec, limits):
        return None, "estimate"
    try:
        return await counting(asked), name
    except TrimtabError:
        return None, "estimate"
