"""What stands for what in one request: personal values, their placeholders, and the ways there and back."""

import json
import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from trimtab.answer._strings import Change, Prose, Strings
from trimtab.types import Span

Find: TypeAlias = Callable[[str], Sequence[Span]]

FORM = re.compile(r"\[[A-Z][A-Z0-9-]{0,40}-[0-9]{1,9}\]")
"""`[EMAIL-1]`: nothing that JSON, HTML or Markdown escapes, a `[` only at its start and a `]` only at its end."""
TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9][0-9.eE+-]{5,60}', re.DOTALL)
"""The strings of a JSON text, and its numbers that are long enough to be personal."""
NAMED = 1000
"""Characters of the longest text that is also read together with its key."""
DEEPEST = 4
"""Levels of JSON inside strings of JSON that are gone into."""
UNSPACED = re.compile(r"[\u0e01-\u0e4e]")
"""Letters of a script that puts no spaces between words: Thai."""
SHORT, NEAR = 5, 2
"""Characters of such a name that is no shorter than words are, and of what is looked at beside a shorter one."""


class Vault:
    """The personal values of one request; `learn` all texts first, then `hide` them, then `restore` what comes back."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._names: dict[str, str] = {}
        self._values: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._taken: set[str] = set()
        self._kinds: dict[str, str] = {}
        self._words: dict[str, set[tuple[str, str]]] = {}
        self.texts: dict[str, None] = {}
        self._known: re.Pattern[str] | None = None
        self._odd = False

    def __bool__(self) -> bool:
        return bool(self._kinds)

    def learn(self, text: str, key: str = "") -> None:
        """Find the personal values of `text`, and the placeholders that it happens to hold already.

        `key` is what the text is called: `phone` makes a number of digits one.
        """
        self.texts[text] = None
        self._taken.update(FORM.findall(text))
        self._keep(text, 0)
        if key and len(text) <= NAMED and any(char.isdigit() for char in text):
            self._keep(f"{key}: {text}", len(key) + 2)

    def learn_json(self, text: str, depth: int = 0) -> None:
        """The same for each string and long number inside a JSON text; what is no JSON is learnt as it stands.

        The text is learnt as a whole too: there a key stands before its value.
        """
        self.learn(text)
        for part in map(_read, TOKEN.findall(text)) if _is_json(text) else ():
            if depth < DEEPEST and _may_be_json(part):
                self.learn_json(part, depth + 1)
            else:
                self.learn(part)

    def name(self, text: str, spans: Sequence[Span]) -> None:
        """Hide the names at `spans` of `text` wherever they stand as words: `May` stands in `Maybe` too.

        Where words have no ends to be seen, a short name is hidden where it stands between the same letters or none.
        """
        for span in spans:
            value = text[span.start : span.end]
            if value not in self._kinds or value in self._words:
                self._kinds.setdefault(value, span.kind)
                around = text[max(0, span.start - NEAR) : span.start], text[span.end : span.end + NEAR]
                self._words.setdefault(value, set()).add(around)

    def _keep(self, text: str, after: int) -> None:
        for span in apart(self._find(text)):
            if span.end > after:
                self._kinds.setdefault(text[max(span.start, after) : span.end], span.kind)

    def seal(self) -> None:
        """Give every value its placeholder: call once, after all is learnt."""
        for value, kind in self._kinds.items():
            name = self._free(re.sub(r"[^A-Z0-9]+", "-", kind.upper()).strip("-")[:40] or "DATA")
            self._names[value], self._values[name] = name, value
        self._odd = any(_escaped(value) != value for value in self._names)
        longest_first = sorted(self._names, key=len, reverse=True)
        self._known = re.compile("|".join(map(self._found, longest_first))) if longest_first else None

    def _found(self, value: str) -> str:
        """What finds a value in a text: a name only where no letter goes on with it."""
        plain = re.escape(value)
        if value not in self._words:
            return plain
        if UNSPACED.search(value[0] + value[-1]):
            return (
                plain if len(value) >= SHORT else "|".join(_between(plain, *one) for one in sorted(self._words[value]))
            )
        begin = r"(?<!\w)" if value[0].isalnum() else ""
        return begin + plain + (r"(?!\w)" if value[-1].isalnum() else "")

    def hide(self, text: str) -> str:
        """`text` with every known value replaced, wherever it stands: found once is hidden everywhere."""
        return self._known.sub(lambda match: self._names[match[0]], text) if self._known else text

    def hide_pattern(self, text: str) -> str:
        """The same inside a regular expression, where a placeholder must stand for itself."""
        return self._known.sub(lambda match: re.escape(self._names[match[0]]), text) if self._known else text

    def hide_json(self, text: str, depth: int = 0) -> str:
        """The same inside a JSON text, which stays JSON; what holds no value keeps its bytes."""
        if not _is_json(text):
            return self.hide(text)

        def within(part: str) -> str:
            return self.hide_json(part, depth + 1) if depth < DEEPEST and _may_be_json(part) else self.hide(part)

        return TOKEN.sub(lambda token: _rewritten(token[0], within), text)

    def restore(self, text: str) -> str:
        """`text` with the values back, byte for byte; a placeholder that is not ours stays as it is."""
        return FORM.sub(lambda match: self._values.get(match[0], match[0]), text)

    def restore_json(self, text: str) -> str:
        """The same inside a JSON text: the values come back escaped, once for each text of JSON that they stand in."""
        if not self._odd:
            return self.restore(text)
        strings = self.strings()
        return strings.feed(text) + strings.close()

    def strings(self) -> Strings | Prose:
        """`restore_json` for a text that comes in pieces."""
        if not self._odd:
            return self.prose()
        return Strings(self.restore, self._restore_inside, self._restore_whole, self.unfinished)

    def prose(self) -> Prose:
        """`restore` for a text that comes in pieces."""
        return Prose(self.restore, self.unfinished)

    def _restore_inside(self, body: str) -> str:
        return FORM.sub(lambda match: _escaped(self._values.get(match[0], match[0])), body)

    def _restore_whole(self, token: str) -> str:
        """A string that may hold a JSON text itself."""
        if not any(name in self._values for name in FORM.findall(token)):
            return token
        text = _read(token)
        return _rewritten(token, self.restore_json) if _is_json(text) else self._restore_inside(token)

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


def _between(plain: str, before: str, after: str) -> str:
    """What finds a name between these characters, or where none of its script stand."""
    letters = UNSPACED.pattern
    begin = f"(?<={re.escape(before)})" if UNSPACED.match(before[-1:]) else f"(?<!{letters})"
    end = f"(?={re.escape(after)})" if UNSPACED.match(after[:1]) else f"(?!{letters})"
    return f"{begin}{plain}{end}|(?<!{letters}){plain}(?!{letters})"


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


def _may_be_json(text: str) -> bool:
    return text.lstrip()[:1] in ("{", "[")


def _is_json(text: str) -> bool:
    try:
        json.loads(text, strict=False)
    except (ValueError, RecursionError):
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
