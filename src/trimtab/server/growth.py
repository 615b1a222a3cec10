"""The items of a response while they are written: every step gives the events that tell it. Pure.

Reasoning is done when anything else begins. Words and calls stay open to the end, since the guards' window lets the
last words out after a call has begun; an event names its item, so they may come between one another.
"""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from trimtab.server import items
from trimtab.server.items import Names
from trimtab.types import Json

Event: TypeAlias = tuple[str, Json]
"""A type, without its `response.`, and the fields but the sequence number."""
TEXT = {"output_text": "text", "refusal": "refusal", "reasoning_text": "text"}
"""Where each type of part has its text."""
WRITTEN = {"function_call": "arguments", "custom_tool_call": "input"}
"""Where each type of call has what the model wrote."""


class Growth:
    """What there is of a response's output; `key` makes the items' ids."""

    def __init__(self, key: str, names: Names) -> None:
        self._key, self._names = key, names
        self._done = 0
        self._slots: dict[int, int] = {}
        self._sealed: Json = {}
        self.items: list[Json] = []

    def words(self, kind: str, text: str, logprobs: Sequence[Any] = ()) -> Iterator[Event]:
        """More of a text; its kind is `output_text`, `refusal` or `reasoning_text`."""
        at = self._last("reasoning" if kind == "reasoning_text" else "message")
        if at is None:
            yield from self._reasoned()
            at = len(self.items)
            yield self._added(self._empty(kind))
        item = self.items[at]
        j = next((j for j, part in enumerate(item["content"]) if part["type"] == kind), len(item["content"]))
        where = {"item_id": item["id"], "output_index": at, "content_index": j}
        if j == len(item["content"]):
            item["content"].append(_part(kind))
            yield "content_part.added", {**where, "part": _part(kind)}
        part = item["content"][j]
        part[TEXT[kind]] += text
        more = {}
        if kind == "output_text":
            part["logprobs"] += logprobs
            more = {"logprobs": list(logprobs)}
        if text or logprobs:
            yield f"{kind}.delta", {**where, "delta": text, **more}

    def sealed(self, extra: Json) -> Iterator[Event]:
        """More of what must come back untouched; it leaves with the reasoning that it belongs to."""
        found = {field: extra[field] for field in items.SEALED if extra.get(field)}
        if found and self._last("reasoning") is None:
            yield from self._reasoned()
            yield self._added(self._empty("reasoning_text"))
        self._sealed = items.joined(self._sealed, found)

    def call(self, piece: Json, slot: int) -> Iterator[Event]:
        """More of the call at `slot`: a tool call of the chat, whole or a piece of one."""
        body: Json = piece.get("custom") or piece.get("function") or {}
        field = "input" if "custom" in piece else "arguments"
        if slot not in self._slots:
            yield from self._reasoned()
            key = f"{self._key}_{len(self._slots)}"
            self._slots[slot] = len(self.items)
            kind = "custom" if "custom" in piece else "function"
            started = {**piece, "type": kind, kind: {**body, field: ""}}
            yield self._added(items.call(started, key, self._names, "in_progress"))
        at = self._slots[slot]
        item = self.items[at]
        if not item["name"] and body.get("name"):  # a server that names the function late
            space, item["name"] = self._names.get(body["name"], ("", body["name"]))
            item |= {"namespace": space} if space else {}
        if text := body.get(field):
            item[WRITTEN[item["type"]]] += text
            name = "custom_tool_call_input" if item["type"] == "custom_tool_call" else "function_call_arguments"
            yield f"{name}.delta", {"item_id": item["id"], "output_index": at, "delta": text}

    def close(self, status: str, extra: Json, annotations: Sequence[Json] = ()) -> Iterator[Event]:
        """All that is open is done; `extra` are the message's further fields. An empty answer is an empty message."""
        if not self.items:
            yield from self.words("output_text", "")
        if extra:
            yield from self._bear(extra)
        for at in range(self._done, len(self.items)):
            yield from self._finished(at, status, annotations)
        self._done = len(self.items)

    def left(self) -> list[Json]:
        """The items of a response that failed: what was not done is incomplete."""
        return [
            {**item, "status": "incomplete"} if i >= self._done and "status" in item else item
            for i, item in enumerate(self.items)
        ]

    def _bear(self, extra: Json) -> Iterator[Event]:
        """Put the further fields on the message; beside calls alone on an item of reasoning."""
        if (at := self._last("message")) is None and (at := self._last("reasoning")) is None:
            at = len(self.items)
            yield self._added(self._empty("reasoning_text"))
        self.items[at] |= {name: value for name, value in extra.items() if name not in self.items[at]}

    def _last(self, kind: str) -> int | None:
        """Where the open item of that type is."""
        found = (i for i, item in enumerate(self.items) if i >= self._done and item["type"] == kind)
        return next(found, None)

    def _reasoned(self) -> Iterator[Event]:
        """Reasoning ends where something else begins; it is done at once only where nothing before it is open."""
        last = len(self.items) - 1
        if last == self._done and self.items[last]["type"] == "reasoning":
            yield from self._finished(last, "completed", ())
            self._done += 1

    def _empty(self, kind: str) -> Json:
        if kind == "reasoning_text":
            count = sum(item["type"] == "reasoning" for item in self.items)
            return {"id": f"rs_{self._key}{f'_{count}' if count else ''}", "type": "reasoning", "summary": [],
                    "content": []}  # fmt: skip
        return items.message(f"msg_{self._key}", [], status="in_progress")

    def _added(self, item: Json) -> Event:
        self.items.append(item)
        shown = dict(item) if item["type"] in WRITTEN else {**item, "content": []}
        return "output_item.added", {"output_index": len(self.items) - 1, "item": shown}

    def _finished(self, at: int, status: str, annotations: Sequence[Json]) -> Iterator[Event]:
        item = self.items[at]
        where = {"item_id": item["id"], "output_index": at}
        if "status" in item:
            item["status"] = status
        if item["type"] == "reasoning" and self._sealed:
            item["encrypted_content"], self._sealed = items.seal(self._sealed), {}
        if field := WRITTEN.get(item["type"]):
            name = "custom_tool_call_input" if field == "input" else "function_call_arguments"
            yield f"{name}.done", {**where, field: item[field]}
        else:  # a call has no parts: a `content` of it is a server's own field
            for j, part in enumerate(item["content"]):
                yield from _told(part, {**where, "content_index": j}, annotations)
        yield "output_item.done", {"output_index": at, "item": item}


def _told(part: Json, where: Json, annotations: Sequence[Json]) -> Iterator[Event]:
    """The end of a part."""
    kind = part["type"]
    field = TEXT[kind]
    if kind == "output_text":
        for k, found in enumerate(annotations):
            part["annotations"].append(found)
            yield "output_text.annotation.added", {**where, "annotation_index": k, "annotation": found}
    more = {"logprobs": part["logprobs"]} if kind == "output_text" else {}
    yield f"{kind}.done", {**where, field: part[field], **more}
    yield "content_part.done", {**where, "part": part}


def _part(kind: str) -> Json:
    if kind == "output_text":
        return items.text_part("")
    return items.refusal_part("") if kind == "refusal" else items.reasoning_part("")
