"""A streamed completion put together again: the deltas of each choice joined to the answer they make. Pure."""

from typing import Any

import msgspec

from trimtab.types import Answer, Delta, Json, Usage

OF_CHUNK = frozenset({"id", "object", "created", "model", "choices", "usage"})
OF_MESSAGE = frozenset({"role", "content", "tool_calls"})


class Choice(msgspec.Struct, kw_only=True):
    """One choice as far as it has come."""

    text: list[str] = []
    calls: dict[int, Json] = {}
    extra: Json = {}
    logprobs: Json = {}
    finish: str | None = None


class Assembly:
    """Takes decoded chunks; `tokens` counts the deltas that said something, an estimate of the completion's tokens."""

    __slots__ = ("body", "choices", "tokens", "usage")

    def __init__(self) -> None:
        self.choices: dict[int, Choice] = {}
        self.body: Json = {}
        self.usage: Usage | None = None
        self.tokens = 0

    def take(self, chunk: Json) -> list[Delta]:
        """The deltas of one chunk, as the client is to see them. Raises `ValueError` for what is no chunk."""
        if usage := chunk.get("usage"):
            self.usage = counted(usage)
        for key, value in chunk.items():
            if key not in OF_CHUNK and value is not None:
                self.body[key] = value
        return [self._choice(choice) for choice in _list(chunk.get("choices")) if choice.get("delta") is not None]

    @property
    def finished(self) -> bool:
        """Whether every choice that began has said why it ended."""
        return bool(self.choices) and all(choice.finish for choice in self.choices.values())

    def answer(self, name: str, usage: Usage) -> Answer:
        """All of it as one answer in the name of the rung `name`."""
        done = [_whole(index, choice) for index, choice in sorted(self.choices.items())]
        return of_choices(done, self.body, name, usage)

    def _choice(self, found: Json) -> Delta:
        index, delta = found.get("index", 0), found["delta"]
        if not (choice := self.choices.get(index)):
            choice = self.choices[index] = Choice()
        if not isinstance(delta, dict):
            raise TypeError("a delta that is not an object")
        choice.finish = found.get("finish_reason") or choice.finish
        text = delta.get("content") or ""
        if text:
            choice.text.append(text)
        extra = {key: value for key, value in delta.items() if key not in ("role", "content") and value is not None}
        if extra:
            _join_calls(choice.calls, _list(extra.get("tool_calls")))
            _join(choice.extra, {key: value for key, value in extra.items() if key != "tool_calls"})
        _join(choice.logprobs, found.get("logprobs") or {})
        self.tokens += bool(text or extra)
        return Delta(text=text, index=index, extra=extra, logprobs=found.get("logprobs"))


def of_choices(choices: list[Json], body: Json, name: str, usage: Usage) -> Answer:
    """The answer that whole choices make; the first is the answer, the others are kept as the server gave them."""
    first, message = choices[0], choices[0]["message"]
    logprobs = {"logprobs": first["logprobs"]} if first.get("logprobs") else {}
    return Answer(
        text=message.get("content"), model=name, usage=usage, finish=first.get("finish_reason") or "stop",
        tool_calls=tuple(message.get("tool_calls") or ()),
        extra={key: value for key, value in message.items() if key not in OF_MESSAGE and value is not None},
        choices=tuple(choices[1:]), body={**body, **logprobs},
    )  # fmt: skip


def counted(usage: Any) -> Usage:
    """The server's own count of tokens. Raises `ValueError` where it is none."""
    try:
        details = usage.get("prompt_tokens_details") or {}
        return Usage(
            prompt=int(usage.get("prompt_tokens") or 0),
            completion=int(usage.get("completion_tokens") or 0),
            cached=int(details.get("cached_tokens") or 0),
        )
    except (AttributeError, TypeError) as error:
        raise ValueError("a usage that is not a count of tokens") from error


def _whole(index: int, choice: Choice) -> Json:
    text = "".join(choice.text)
    calls = [choice.calls[key] for key in sorted(choice.calls)]
    message: Json = {"role": "assistant", "content": text or None if calls or choice.extra else text, **choice.extra}
    if calls:
        message["tool_calls"] = calls
    return {"index": index, "message": message, "logprobs": choice.logprobs or None, "finish_reason": choice.finish}


def _join_calls(calls: dict[int, Json], parts: list[Json]) -> None:
    """Names and arguments come in pieces that belong to the call of their index."""
    for part in parts:
        call = calls.setdefault(part.get("index", len(calls)), {"id": "", "type": "function", "function": {}})
        function: Json = part.get("function") or {}
        call |= {key: value for key, value in part.items() if key not in ("index", "function") and value}
        call["function"].setdefault("name", "")
        call["function"].setdefault("arguments", "")
        _join(call["function"], function)


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
