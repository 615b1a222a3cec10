"""POST /v1/completions: OpenAI's legacy format. Each prompt is a user's message, and goes down the path by itself."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, cast

import msgspec

from trimtab.errors import MalformedError, RequestError, TooLargeError
from trimtab.flow import Desk
from trimtab.money import together, total, usd
from trimtab.server import admission, openai
from trimtab.server.exchange import recorded, say, wait
from trimtab.server.limits import Send
from trimtab.server.sse import Stream, pieces
from trimtab.types import Answer, Delta, Json, Outcome, Pending, Refused, Request, Trace, Usage

PROMPTS = 64
"""Prompts of one call; each is a request of its own."""
OTHERWISE = frozenset({"prompt", "echo", "suffix", "best_of", "logprobs", "messages"})
FINISHES = frozenset({"stop", "length", "content_filter"})

Found = tuple[Outcome, Trace]

_encode = msgspec.json.Encoder().encode


class Batch(msgspec.Struct, kw_only=True):
    """The exchange: one request for each prompt. `n` choices belong to each; `echo` is what each choice begins with."""

    requests: tuple[Request, ...]
    n: int
    echo: tuple[str, ...]
    stream: "Texts | None"

    async def run(self, desk: Desk) -> list[Found]:
        """All prompts at once. The first fault stops the others and is raised."""
        runs = [asyncio.ensure_future(self._one(desk, i)) for i in range(len(self.requests))]
        try:
            return list(await asyncio.gather(*runs))
        finally:
            for run in runs:
                run.cancel()
            await asyncio.gather(*runs, return_exceptions=True)

    async def reply(self, found: list[Found], desk: Desk, send: Send) -> None:
        """A prompt that waits for a person holds all of them back."""
        for outcome, trace in found:
            if isinstance(outcome, Pending):
                await wait(outcome, trace, self.stream, send)
                return
        said = cast("list[tuple[Answer | Refused, Trace]]", found)
        replayed = any(recorded(desk, trace) for _, trace in said)
        if self.stream:
            await self.stream.end(said, replayed)
        else:
            await say(send, whole(self, said, replayed), said[0][1])

    async def _one(self, desk: Desk, i: int) -> Found:
        return await admission.run(desk, self.requests[i], self.stream.emitter(i) if self.stream else None)


class Texts(Stream):
    """The stream of one call: chunks of `text_completion`; the choices of prompt `i` begin at index `i * n`."""

    def __init__(self, send: Send, request: Request, n: int, echo: tuple[str, ...]) -> None:
        super().__init__(send, request)
        self._head |= {"id": completion_id(request.id), "object": "text_completion"}
        self._n, self._echo = n, echo
        self._sizes: dict[int, int] = {}

    def emitter(self, i: int) -> Callable[[Delta], Awaitable[None]]:
        """Where the answer to prompt `i` is written."""

        async def emit(delta: Delta) -> None:
            if not self.begun:
                await self._open(openai.of_trace(self._request.id))
            if delta.text or delta.logprobs:
                await self._add(i, delta.index, delta.text, delta.logprobs)

        return emit

    async def end(self, found: list[tuple[Answer | Refused, Trace]], replayed: bool) -> None:
        """Send what is left of the outcomes, their usage if asked for, what Trimtab did, and the end."""
        if not self.begun:
            self._head["model"] = found[0][1].answered_by or self._head["model"]
            await self._open(openai.headers(found[0][1]))
        for i, (outcome, _) in enumerate(found):
            if isinstance(outcome, Answer) and not any(i * self._n <= at < (i + 1) * self._n for at in self._sizes):
                await self._decided(i, outcome)
        ends = [_choice("", at, None, finish) for at, finish in _finishes(found, self._n)]
        tail: Json = {"trimtab": about(found, replayed)}
        if (self._request.params.get("stream_options") or {}).get("include_usage"):
            tail = {"usage": openai.counted(spent(found)), **tail}
            ends.append(b"")
        *lines, last = [self._prefix + end + b"]" for end in ends]
        rest = b"".join(line + b"}\n\n" for line in lines) + last + b"," + _encode(tail)[1:] + b"\n\n"
        await self._last_of_all(rest + b"data: [DONE]\n\n")

    async def _decided(self, i: int, answer: Answer) -> None:
        for j, text, _, logprobs in _choices(answer):
            for piece in list(pieces(text)) or [""]:
                await self._add(i, j, piece, logprobs)
                logprobs = None

    async def _add(self, i: int, j: int, text: str, logprobs: Any) -> None:
        at = i * self._n + j
        if at not in self._sizes:
            text, self._sizes[at] = self._echo[i] + text, 0
        await self._write(self._prefix + _choice(text, at, tokens(logprobs, self._sizes[at]), None) + b"]}\n\n")
        self._sizes[at] += len(text)


def opened(body: Json, headers: Mapping[bytes, bytes], trace: str, send: Send) -> Batch:
    """The exchange that a body opens. Raises `RequestError`s that name the field and the fix."""
    prompts = _prompts(body)
    chat = {name: value for name, value in body.items() if name not in OTHERWISE} | _logprobs(body)
    traces = (trace, *(openai.new_id() for _ in prompts[1:]))
    requests = tuple(
        openai.request({**chat, "messages": [{"role": "user", "content": prompt}]}, headers, name)
        for prompt, name in zip(prompts, traces, strict=True)
    )
    n, echo = body.get("n") or 1, prompts if _echoes(body) else ("",) * len(prompts)
    _check_best_of(body, n)
    stream = Texts(send, requests[0], n, echo) if requests[0].wishes.stream else None
    return Batch(requests=requests, n=n, echo=echo, stream=stream)


def whole(batch: Batch, found: list[tuple[Answer | Refused, Trace]], replayed: bool) -> Json:
    """A `text_completion`; a refusal is an empty text with finish reason `content_filter`."""
    outcome, trace = found[0]
    choices: list[Json] = []
    for i, (one, _) in enumerate(found):
        for j, text, finish, logprobs in _choices(one):
            said = {"text": batch.echo[i] + text, "index": i * batch.n + j, "finish_reason": finish}
            choices.append({**said, "logprobs": tokens(logprobs, 0)})
    further = (
        {name: value for name, value in outcome.body.items() if name != "logprobs"}
        if isinstance(outcome, Answer)
        else {}
    )
    return {
        **further, "id": completion_id(trace.request.id), "object": "text_completion", "created": int(trace.at),
        "model": trace.answered_by or trace.request.wishes.model, "choices": choices,
        "usage": openai.counted(spent(found)), "trimtab": about(found, replayed),
    }  # fmt: skip


def about(found: list[tuple[Answer | Refused, Trace]], replayed: bool) -> Json:
    """The `trimtab` object; of several prompts the costs of all, and what happened to each in `prompts`."""
    each = [openai.about(outcome, trace, replayed) for outcome, trace in found]
    if len(each) == 1:
        return each[0]
    return {
        "trace": each[0]["trace"], "cost_usd": usd(total(trace.cost for _, trace in found)),
        "baseline_usd": usd(total(trace.baseline for _, trace in found)), "prompts": each,
    }  # fmt: skip


def spent(found: list[tuple[Answer | Refused, Trace]]) -> Usage:
    """The tokens of all prompts."""
    return together(outcome.usage if isinstance(outcome, Answer) else trace.usage for outcome, trace in found)


def tokens(logprobs: Any, start: int) -> Json | None:
    """The chat's log-probabilities in the legacy shape; offsets are in characters of the choice's text."""
    content: Any = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not content:
        return None
    found: Json = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    for one in cast("list[Json]", content):
        found["tokens"].append(one.get("token"))
        found["token_logprobs"].append(one.get("logprob"))
        found["top_logprobs"].append({top["token"]: top["logprob"] for top in one.get("top_logprobs") or ()})
        found["text_offset"].append(start)
        start += len(one.get("token") or "")
    return found


def completion_id(trace: str) -> str:
    return f"cmpl-{trace.removeprefix('tr_')}"


def _choices(outcome: Answer | Refused) -> Iterator[tuple[int, str, str, Any]]:
    """Index, text, finish reason and log-probabilities of each choice."""
    if isinstance(outcome, Refused):
        yield 0, "", "content_filter", None
        return
    yield 0, outcome.text or "", _finish(outcome.finish), outcome.body.get("logprobs")
    for i, choice in enumerate(outcome.choices):
        text = (choice.get("message") or {}).get("content") or ""
        yield choice.get("index", i + 1), text, _finish(choice.get("finish_reason")), choice.get("logprobs")


def _finishes(found: list[tuple[Answer | Refused, Trace]], n: int) -> Iterator[tuple[int, str]]:
    for i, (outcome, _) in enumerate(found):
        yield from ((i * n + j, finish) for j, _, finish, _ in _choices(outcome))


def _finish(reason: str | None) -> str:
    return reason if reason in FINISHES else "stop"


def _choice(text: str, index: int, logprobs: Json | None, finish: str | None) -> bytes:
    return _encode({"text": text, "index": index, "logprobs": logprobs, "finish_reason": finish})


def _prompts(body: Json) -> tuple[str, ...]:
    given = body.get("prompt")
    if given is None:
        fix = "Chat messages go to /v1/chat/completions." if "messages" in body else "Send a string or a list of them."
        raise MalformedError("prompt is missing.", fix, param="prompt")
    for name in ("tools", "functions"):
        if body.get(name):
            raise RequestError(f"{name} have no place in a text completion.", "Ask /v1/chat/completions.", param=name)
    prompts: list[Any] = cast("list[Any]", given) if isinstance(given, list) else [given]
    if not prompts or not all(isinstance(prompt, str) for prompt in prompts):
        raise MalformedError(
            "prompt is not a text.", "Send a string or a list of strings; tokens are another model's.", param="prompt"
        )
    if len(prompts) > PROMPTS:
        raise TooLargeError(f"{len(prompts)} prompts are too many.", f"Send at most {PROMPTS}.", param="prompt")
    if body.get("suffix"):
        raise RequestError(
            "suffix cannot be kept: no model here fills in.", "Put both parts into the prompt.", param="suffix"
        )
    return tuple(prompts)


def _echoes(body: Json) -> bool:
    echo = body.get("echo")
    if echo is not None and type(echo) is not bool:
        raise MalformedError("echo is wrong.", "It must be true or false.", param="echo")
    if echo and body.get("logprobs") is not None:
        raise RequestError("The prompt's own logprobs are not known.", "Leave out echo or logprobs.", param="echo")
    return bool(echo)


def _check_best_of(body: Json, n: int) -> None:
    best = body.get("best_of")
    if best is not None and (type(best) is not int or best != n):
        raise RequestError(
            "best_of cannot be kept: candidates are not ranked here.", "Leave it out, or ask for n and choose.",
            param="best_of",
        )  # fmt: skip


def _logprobs(body: Json) -> Json:
    wanted = body.get("logprobs")
    if wanted is None:
        return {}
    if type(wanted) is not int or wanted < 0:
        raise MalformedError("logprobs is wrong.", "It must be a whole number, 0 or more.", param="logprobs")
    return {"logprobs": True, "top_logprobs": wanted}
