"""A streamed completion put together again: the deltas of each choice joined to the answer they make. Pure."""

from typing import Any

import msgspec

from trimtab.answer._chunk import KEPT, Plain
from trimtab.types import Answer, Delta, Json, Usage

OF_CHUNK = frozenset({"id", "object", "created", "model", "choices", "usage"})
OF_MESSAGE = frozenset({"role", "content", "tool_calls"})
MOST = 1_000_000_000
"""Tokens of a call beyond which a count is taken to be wrong; its cost must fit a database's integer."""
BODIES = {"function": "arguments", "custom": "input"}
"""Where a tool call of each type has its name, and the field beside it that is written in pieces."""


class Choice(msgspec.Struct, kw_only=True):
    """One choice as far as it has come; `places` has the call that each index of the server's now stands for."""

    text: list[str] = []
    calls: dict[int, Json] = {}
    places: dict[int, int] = {}
    extra: Json = {}
    logprobs: Json = {}
    finish: str | None = None


class Assembly:
    """Takes decoded chunks; `tokens` counts the deltas that said something, an estimate of the completion's tokens."""

    __slots__ = ("_kept", "body", "choices", "tokens", "usage")

    def __init__(self) -> None:
        self.choices: dict[int, Choice] = {}
        self.body: Json = {}
        self.usage: Usage | None = None
        self.tokens = 0
        self._kept: tuple[Any, ...] = (None, None, None)

    def take(self, chunk: Json) -> list[Delta]:
        """The deltas of one chunk, as the client is to see them. Raises `ValueError` for what is no chunk."""
        if usage := chunk.get("usage"):
            self.usage = counted(usage)
        for key, value in chunk.items():
            if key not in OF_CHUNK and value is not None:
                self.body[key] = value
        return [self._choice(choice) for choice in _list(chunk.get("choices"))]

    def piece(self, chunk: Plain) -> Delta:
        """The delta of a chunk that says text alone, as `take` would find it."""
        kept = (chunk.system_fingerprint, chunk.service_tier, chunk.obfuscation)
        if kept != self._kept:  # most servers say the same in every chunk
            self._kept = kept
            self.body |= {key: value for key, value in zip(KEPT, kept, strict=True) if value is not None}
        found = chunk.choices[0]
        index, text = found.index, found.delta.content
        if not (choice := self.choices.get(index)):
            choice = self.choices[index] = Choice()
        if found.finish_reason:
            choice.finish = found.finish_reason
        if not text:
            return Delta(index=index)
        choice.text.append(text)
        self.tokens += 1
        return Delta(text=text, index=index)

    @property
    def finished(self) -> bool:
        """Whether every choice that began has said why it ended."""
        return bool(self.choices) and all(choice.finish for choice in self.choices.values())

    def answer(self, name: str, usage: Usage) -> Answer:
        """All of it as one answer in the name of the rung `name`."""
        done = [_whole(index, choice) for index, choice in sorted(self.choices.items())]
        return of_choices(done, self.body, name, usage)

    def _choice(self, found: Json) -> Delta:
        index, delta = _index(found.get("index"), 0), found.get("delta")
        if not isinstance(delta := {} if delta is None else delta, dict):
            raise TypeError("a delta that is not an object")
        if not (choice := self.choices.get(index)):
            choice = self.choices[index] = Choice()
        choice.finish = _text(found, "finish_reason") or choice.finish
        text, _ = _text(delta, "content") or "", _text(delta, "refusal")
        if text:
            choice.text.append(text)
        extra = {key: value for key, value in delta.items() if key not in ("role", "content") and value is not None}
        if extra:
            _join_calls(choice.calls, choice.places, _calls(extra.get("tool_calls")))
            if old := _call(extra.get("function_call"), "arguments"):
                extra["function_call"] = _told(choice.extra.setdefault("function_call", {"name": ""}), old)
            rest = {key: value for key, value in extra.items() if key not in ("tool_calls", "function_call")}
            _join(choice.extra, rest)
        logprobs = _logprobs(found.get("logprobs"))
        _join(choice.logprobs, logprobs or {})
        self.tokens += bool(text or extra)
        return Delta(text=text, index=index, extra=extra, logprobs=logprobs)


def of_choices(choices: list[Json], body: Json, name: str, usage: Usage) -> Answer:
    """The answer that whole choices make; the first is the answer, the others are kept as the server gave them.

    Raises `ValueError` for a choice that no client could read.
    """
    for choice in choices:
        _check(choice)
    first, message = choices[0], choices[0]["message"]
    logprobs = {"logprobs": first["logprobs"]} if first.get("logprobs") else {}
    return Answer(
        text=message.get("content"), model=name, usage=usage, finish=first.get("finish_reason") or "stop",
        tool_calls=_told_apart(_list(message.get("tool_calls"))) if message.get("tool_calls") else (),
        extra={key: value for key, value in message.items() if key not in OF_MESSAGE and value is not None},
        choices=tuple(choices[1:]),
        body={key: value for key, value in body.items() if key != "logprobs"} | logprobs,  # those of the choice alone
    )  # fmt: skip


def counted(usage: Any) -> Usage:
    """The server's own count of tokens. Raises `ValueError` where it is none: below 0, or beyond `MOST`."""
    try:
        details, of_completion = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
        prompt, completion = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
        cached = min(prompt, count(details.get("cached_tokens")))
        written = min(prompt - cached, count(details.get("cache_write_tokens")))
        by_time = details.get("cache_write_tokens_details") or {}
        return Usage(
            prompt=prompt, completion=completion, cached=cached, cache_write=written,
            cache_write_long=min(written, count(by_time.get("ttl_12h_tokens"))),
            reasoning=min(completion, count(of_completion.get("reasoning_tokens"))),
        )  # fmt: skip
    except (AttributeError, TypeError, OverflowError) as error:
        raise ValueError("a usage that is not a count of tokens") from error


def count(value: Any) -> int:
    """A number of tokens, 0 where there is none. Raises `ValueError` for one that cannot be."""
    found = int(value or 0)
    if not 0 <= found <= MOST:
        raise ValueError(f"a usage of {str(value)[:40]} tokens")
    return found


def _whole(index: int, choice: Choice) -> Json:
    text = "".join(choice.text)
    calls = [choice.calls[key] for key in sorted(choice.calls)]
    message: Json = {"role": "assistant", "content": text or None if calls or choice.extra else text, **choice.extra}
    if calls:
        message["tool_calls"] = calls
    return {"index": index, "message": message, "logprobs": choice.logprobs or None, "finish_reason": choice.finish}


def _join_calls(calls: dict[int, Json], places: dict[int, int], parts: list[Json]) -> None:
    """Names and arguments come in pieces that belong to the call of their index; the parts are made to say so.

    A name that comes again with each piece is the same name, and leaves once.
    """
    for part in parts:
        given = _index(part.get("index"), len(calls))
        index = places.get(given, given)
        if index in calls and _another(calls[index], index, part):
            index = max(calls) + 1
        places[given] = part["index"] = index
        if part.get("id"):
            part["id"] = _own(part["id"], index, calls)
        kind = "custom" if part.get("custom") else "function"
        call = calls.setdefault(index, {"id": "", "type": kind, kind: {"name": "", BODIES[kind]: ""}})
        call |= {key: value for key, value in part.items() if key not in ("index", *BODIES) and value}
        if body := part.get(kind):
            part[kind] = _told(call.setdefault(kind, {"name": ""}), body)


def _another(call: Json, index: int, part: Json) -> bool:
    """Whether a part is no more of that call but begins another: there are servers that number all their calls 0.

    It has a name and an id of its own, and the call has all its arguments: others send a new id with every piece.
    https://github.com/ollama/ollama/issues/15457
    """
    said, body = call.get("function"), part.get("function")
    if not (said and body and body.get("name") and part.get("id")) or call["id"] in (
        part["id"],
        f"{part['id']}_{index}",
    ):
        return False
    try:
        msgspec.json.decode(said[BODIES["function"]], type=dict)
    except (msgspec.DecodeError, KeyError):
        return False
    return True


def _told(whole: Json, piece: Json) -> Json:
    """Join a piece to the body of a call; the piece less a name that was said before."""
    if piece.get("name") == whole["name"]:
        piece = {key: value for key, value in piece.items() if key != "name"}
    _join(whole, piece)
    return piece


def _own(id: Any, index: Any, calls: dict[int, Json]) -> Any:
    """The id of a call, made its own where another call of the answer has it: its result could not be told apart."""
    return f"{id}_{index}" if any(call.get("id") == id for at, call in calls.items() if at != index) else id


def _told_apart(calls: list[Json]) -> tuple[Json, ...]:
    """Whole calls with an id of their own each."""
    seen: dict[int, Json] = {}
    for index, call in enumerate(calls):
        seen[index] = {**call, "id": _own(call["id"], index, seen)} if call.get("id") else call
    return tuple(seen.values())


def _join(whole: Json, parts: Json) -> None:
    """Strings and lists go on where they stopped; of anything else the last word stands."""
    for key, value in parts.items():
        so_far = whole.get(key)
        if isinstance(value, str) and isinstance(so_far, str):
            whole[key] = so_far + value
        elif isinstance(value, list) and isinstance(so_far, list):
            whole[key] = [*so_far, *value]
        elif value is not None:
            whole[key] = value


def _list(value: Any) -> list[Json]:
    """A list of objects or nothing. Raises `ValueError` for anything else."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError("a list of objects was expected")
    return value


def _check(choice: Json) -> None:
    """Raises `ValueError` or `TypeError` for a choice with a field that is not what the protocol says."""
    message = choice["message"]
    _index(choice.get("index"), 0)
    if calls := _calls(message.get("tool_calls")):
        message["tool_calls"] = [_whole_call(call) for call in calls]
    _call(message.get("function_call"), "arguments")
    _logprobs(choice.get("logprobs"))
    _text(choice, "finish_reason")
    _text(message, "content")
    _text(message, "refusal")


def _whole_call(call: Json) -> Json:
    """The call with a name and arguments, empty where it says none."""
    kind = next((kind for kind in BODIES if call.get(kind) is not None), None)
    if kind is None:
        raise ValueError("a tool call that calls nothing")
    said = {key: value for key, value in call[kind].items() if value is not None}
    return {key: value for key, value in call.items() if key not in BODIES} | {
        kind: {"name": "", BODIES[kind]: "", **said}
    }


def _calls(value: Any) -> list[Json]:
    """Tool calls, or pieces of some. Raises `ValueError` or `TypeError` for what is none."""
    found = _list(value)
    for call in found:
        _index(call.get("index"), 0)
        for kind, field in BODIES.items():
            _call(call.get(kind), field)
    return found


def _call(body: Any, field: str) -> Json:
    """What is called and with what."""
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise TypeError("a call that is not an object")
    _text(body, "name")
    _text(body, field)
    return body


def _logprobs(value: Any) -> Json | None:
    """The log-probabilities of a choice: an object with lists in it."""
    if value is not None and not isinstance(value, dict):
        raise TypeError("log-probabilities that are not an object")
    for kind in ("content", "refusal"):
        _list((value or {}).get(kind))
    return value


def _index(value: Any, otherwise: int) -> int:
    if value is None:
        return otherwise
    if type(value) is not int or value < 0:
        raise ValueError("an index that is not a number")
    return value


def _text(fields: Json, name: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise TypeError(f"a {name} that is not text")
    return value
