"""What stands for what in one request: personal values, their placeholders, and the ways there and back."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

from trimtab.types import Json, Span

Find: TypeAlias = Callable[[str], Sequence[Span]]
Change: TypeAlias = Callable[[str], str]

FORM = re.compile(r"\[[A-Z][A-Z0-9-]{0,40}-[0-9]{1,9}\]")
"""`[EMAIL-1]`: nothing that JSON, HTML or Markdown escapes, a `[` only at its start and a `]` only at its end."""
TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9][0-9.eE+-]{5,60}', re.DOTALL)
"""The strings of a JSON text, and its numbers that are long enough to be personal."""
FIXED = frozenset({"role", "type", "image_url", "input_audio", "file"})
"""Keys of a message whose values are the protocol's, or binary."""


class Vault:
    """The personal values of one request; `learn` all texts first, then `hide` them, then `restore` what comes back."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._names: dict[str, str] = {}
        self._values: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._taken: set[str] = set()
        self._kinds: dict[str, str] = {}
        self._known: re.Pattern[str] | None = None

    def __bool__(self) -> bool:
        return bool(self._kinds)

    def learn(self, text: str) -> None:
        """Find the personal values of `text`, and the placeholders that it happens to hold already."""
        self._taken.update(FORM.findall(text))
        for span in apart(self._find(text)):
            self._kinds.setdefault(text[span.start : span.end], span.kind)

    def learn_json(self, text: str) -> None:
        """The same for each string and long number inside a JSON text; what is no JSON is learnt as it stands."""
        for part in map(_read, TOKEN.findall(text)) if _is_json(text) else (text,):
            self.learn(part)

    def seal(self) -> None:
        """Give every value its placeholder: call once, after all is learnt."""
        for value, kind in self._kinds.items():
            name = self._free(re.sub(r"[^A-Z0-9]+", "-", kind.upper()).strip("-")[:40] or "DATA")
            self._names[value], self._values[name] = name, value
        longest_first = sorted(self._names, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def hide(self, text: str) -> str:
        """`text` with every known value replaced, wherever it stands: found once is hidden everywhere."""
        return self._known.sub(lambda match: self._names[match[0]], text) if self._known else text

    def hide_json(self, text: str) -> str:
        """The same inside a JSON text, which stays JSON; what holds no value keeps its bytes."""
        if not _is_json(text):
            return self.hide(text)
        return TOKEN.sub(lambda token: _rewritten(token[0], self.hide), text)

    def restore(self, text: str) -> str:
        """`text` with the values back, byte for byte; a placeholder that is not ours stays as it is."""
        return FORM.sub(lambda match: self._values.get(match[0], match[0]), text)

    def restore_json(self, text: str) -> str:
        """The same inside a JSON text (or a piece of one): the values come back escaped."""
        return FORM.sub(lambda match: _escaped(self._values.get(match[0], match[0])), text)

    def unfinished(self, text: str) -> int:
        """How many characters at the end of `text` may be the beginning of one of our placeholders."""
        at = text.rfind("[")
        rest = text[at:] if at >= 0 else ""
        return len(rest) if rest and any(name.startswith(rest) and name != rest for name in self._values) else 0

    def _free(self, kind: str) -> str:
        while True:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            name = f"[{kind}-{self._counts[kind]}]"
            if name not in self._taken:
                self._taken.add(name)
                return name


def mapped(value: Any, plain: Change, inside_json: Change, fixed: frozenset[str] = FIXED, key: str = "") -> Any:
    """A JSON value with every string changed: `arguments` by `inside_json`, what is under `fixed` keys not at all."""
    if isinstance(value, str):
        return (inside_json if key == "arguments" else plain)(value)
    if isinstance(value, dict):
        table = cast("Json", value)
        kept = fixed | {"name"} if "arguments" in table else fixed
        return {k: v if k in kept else mapped(v, plain, inside_json, fixed, k) for k, v in table.items()}
    if isinstance(value, list):
        return [mapped(item, plain, inside_json, fixed, key) for item in cast("list[Any]", value)]
    return value


def apart(spans: Sequence[Span]) -> list[Span]:
    """Spans that overlap as one, of the first one's kind."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.start, -s.end)):
        if merged and span.start < merged[-1].end:
            first = merged.pop()
            span = Span(kind=first.kind, start=first.start, end=max(first.end, span.end))
        if span.end > span.start:
            merged.append(span)
    return merged


def _is_json(text: str) -> bool:
    try:
        json.loads(text, strict=False)
    except ValueError:
        return False
    return True


def _read(token: str) -> str:
    """The text of a JSON token; one with a broken escape as it stands."""
    if token[0] != '"':
        return token
    try:
        return json.loads(token, strict=False)
    except ValueError:
        return token[1:-1]


def _rewritten(token: str, change: Change) -> str:
    text = _read(token)
    changed = change(text)
    return token if changed == text else json.dumps(changed, ensure_ascii=False)


def _escaped(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]
