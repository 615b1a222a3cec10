"""Anthropic's content blocks as the parts of a chat message, and back: nothing in a block is lost on the way. Pure.

A block that chat messages have no word for becomes one text part for each of its texts, so that guards, redaction and
masking see them; the first carries what is left of the block (`block`), each where its text stood (`at`).
"""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from trimtab.errors import RequestError
from trimtab.types import Json

TEXTS = frozenset({"text", "title", "context", "content", "thinking"})
"""Keys of a block whose strings a model reads as text; `data` too, in a source of type `text`."""
NESTED = frozenset({"content", "source", "input", "document"})
UNNAMED = "document.pdf"

Path = tuple[str | int, ...]


class Untranslatable(Exception):  # noqa: N818 - becomes a pass of the rung, with this code and reason
    """Anthropic's protocol has no word for it."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code, self.why = code, why


def parts(blocks: Sequence[Json]) -> list[Json]:
    """The parts of a chat message that blocks make, in their order."""
    return [part for block in blocks for part in _parts(block)]


def content(given: Any) -> str | list[Json] | None:
    """The content of a chat message: one plain text as a string, all else as parts."""
    if isinstance(given, str) or given is None:
        return given
    return plain(parts(given))


def plain(found: list[Json]) -> str | list[Json]:
    """A single part that is a text and no more, as that text."""
    if len(found) == 1 and found[0].keys() == {"type", "text"} and found[0]["type"] == "text":
        return found[0]["text"]
    return found


def blocks(given: Any, path: str = "content") -> list[Json]:
    """The blocks of a chat message's content. Raises `RequestError` for text where no check looks, `Untranslatable`."""
    if given is None or given == "":
        return []
    if isinstance(given, str):
        return [{"type": "text", "text": given}]
    found: list[Json] = []
    for i, part in enumerate(cast("list[Json]", given)):
        if part.get("type") == "text" and "at" in part and _continues(part, found):
            continue
        found.append(_block(part, f"{path}[{i}]"))
    return [block for block in found if block != {"type": "text", "text": ""}]


def texts(value: Json, deep: bool = False) -> Iterator[tuple[Path, str]]:
    """The texts inside a block and where they stand; `deep` counts every string."""
    for key, inner in value.items():
        if isinstance(inner, str):
            if deep or key in TEXTS or (key == "data" and value.get("type") == "text"):
                yield (key,), inner
        elif deep or key in NESTED:
            yield from _nested(key, inner, deep or key == "input")


def put(value: Any, at: Sequence[str | int], text: str | None) -> Any:
    """A copy of a JSON value with `text` at a place in it. Raises `LookupError` or `TypeError` for a place it lacks."""
    if not at:
        return text
    step, rest = at[0], at[1:]
    if isinstance(value, list):
        changed = list(cast("list[Any]", value))
        changed[cast("int", step)] = put(changed[cast("int", step)], rest, text)
        return changed
    return {**value, step: put(value[step], rest, text)}


def data_url(url: str) -> tuple[str, str] | None:
    """Media type and base64 data of a data URL; None for any other URL."""
    head, comma, data = url.partition(",")
    if not (comma and head.startswith("data:") and head.endswith(";base64")):
        return None
    return head[5:-7], data


def _nested(key: str, inner: Any, deep: bool) -> Iterator[tuple[Path, str]]:
    items: Any = enumerate(cast("list[Any]", inner)) if isinstance(inner, list) else [(None, inner)]
    for i, item in items:
        here: Path = (key,) if i is None else (key, i)
        if isinstance(item, dict):
            for at, text in texts(cast("Json", item), deep):
                yield (*here, *at), text
        elif isinstance(item, list) and deep:
            for at, text in _nested("", cast("Any", item), deep):
                yield (*here, *at[1:]), text
        elif isinstance(item, str) and i is not None and deep:
            yield here, item


def _parts(block: Json) -> list[Json]:
    kind = block.get("type")
    if kind == "text":
        return [dict(block)]
    source = block.get("source")
    if isinstance(source, dict):
        known = cast("Json", source)
        rest = {key: value for key, value in block.items() if key not in ("type", "source")}
        if kind == "image" and (url := _url(known)):
            return [{"type": "image_url", "image_url": {"url": url}, **rest}]
        if kind == "document" and known.get("type") in ("base64", "file"):
            return [_file(known, rest)]
    return _spread(block)


def _spread(block: Json) -> list[Json]:
    """One text part for each text of the block; the block as it is where it has none."""
    found = list(texts(block))
    if not found:
        return [dict(block)]
    left: Any = block
    for at, _ in found:
        left = put(left, at, None)
    first, *others = [{"type": "text", "text": text, "at": list(at)} for at, text in found]
    return [{**first, "block": left}, *others]


def _url(source: Json) -> str | None:
    if source.get("type") == "base64":
        return f"data:{source.get('media_type')};base64,{source.get('data')}"
    return source.get("url") if source.get("type") == "url" else None


def _file(source: Json, rest: Json) -> Json:
    rest = dict(rest)
    if source["type"] == "file":
        return {"type": "file", "file": {"file_id": source.get("file_id")}, **rest}
    return {"type": "file", "file": {"file_data": _url(source), "filename": rest.pop("title", None) or UNNAMED}, **rest}


def _block(part: Json, path: str) -> Json:
    match part.get("type"):
        case "text" if "block" in part:
            return _restored(part)
        case "text":
            return dict(part)
        case "refusal":
            return {"type": "text", "text": str(part.get("refusal") or "")}
        case "image_url":
            return _image(part, path)
        case "file":
            return _document(part, path)
        case "input_audio":
            raise Untranslatable("no_audio", "This model does not hear.")
        case _:
            return _as_it_is(part, path)


def _restored(part: Json) -> Json:
    """The block that a text part stands for; one whose other texts were not taken out is not ours, and stays a text."""
    left = part["block"]
    if not isinstance(left, dict) or any(True for _ in texts(cast("Json", left))):
        return {"type": "text", "text": part["text"]}
    return _placed(cast("Json", left), part) or {"type": "text", "text": part["text"]}


def _continues(part: Json, found: list[Json]) -> bool:
    """Whether the part is a further text of the last block, which then has it."""
    if "block" in part or not found or not (whole := _placed(found[-1], part)):
        return False
    found[-1] = whole
    return True


def _placed(block: Json, part: Json) -> Json | None:
    """The block with the part's text at its place, which must be one that was left empty for a text."""
    at = part.get("at")
    if not isinstance(at, list) or not at:
        return None
    try:
        here: Any = block
        for step in cast("list[Any]", at):
            here = here[step]
        return put(block, cast("list[str | int]", at), part["text"]) if here is None else None
    except (LookupError, TypeError):
        return None


def _image(part: Json, path: str) -> Json:
    given = part.get("image_url")
    url = cast("Json", given).get("url") if isinstance(given, dict) else given
    if not isinstance(url, str):
        raise RequestError(f"{path}.image_url has no url.", "Give the image's address, or a data: URL.", param=path)
    rest = {key: value for key, value in part.items() if key not in ("type", "image_url")}
    if found := data_url(url):
        return {"type": "image", "source": {"type": "base64", "media_type": found[0], "data": found[1]}, **rest}
    return {"type": "image", "source": {"type": "url", "url": url}, **rest}


def _document(part: Json, path: str) -> Json:
    given = part.get("file")
    file = cast("Json", given) if isinstance(given, dict) else {}
    rest = {key: value for key, value in part.items() if key not in ("type", "file")}
    if "file_id" in file:
        return {"type": "document", "source": {"type": "file", "file_id": file["file_id"]}, **rest}
    if not (found := data_url(str(file.get("file_data", "")))):
        raise RequestError(f"{path}.file has no data: URL.", "Send file_data as data:TYPE;base64,...", param=path)
    named = {"title": file["filename"]} if file.get("filename") not in (None, UNNAMED) else {}
    source = {"type": "base64", "media_type": found[0], "data": found[1]}
    return {"type": "document", "source": source, **named, **rest}


def _as_it_is(part: Json, path: str) -> Json:
    """A part that is a block already; with texts in it, it would pass the guards unseen."""
    if any(True for _ in texts(part)):
        raise RequestError(
            f"{path} is a {part.get('type')!r} with text in it, which no check would see.", "Send it as text.",
            param=path,
        )  # fmt: skip
    return dict(part)
