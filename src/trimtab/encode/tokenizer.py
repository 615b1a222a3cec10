"""BERT's uncased WordPiece in plain Python, equal id for id to the `tokenizers` package (a test compares the two).

Two things are decided here: `[SEP]` and its like in a text are ordinary characters, never marks, so that no client can
write one; and a lone surrogate, which has no UTF-8 form, is dropped like U+FFFD is.
"""

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

from trimtab.errors import ConfigError

PAD, UNKNOWN, CLS, SEP = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
MAX_WORD = 100  # characters; a longer word is one unknown piece, as in BERT's reference tokenizer
MEMO = 20_000  # entries kept per memo: bounds memory whatever clients send

_ASCII_PUNCTUATION = frozenset(map(chr, (*range(33, 48), *range(58, 65), *range(91, 97), *range(123, 127))))
_ASCII_WORDS = re.compile(r"[a-z0-9]+|[!-/:-@\[-`{-~]")
_ASCII_CONTROLS = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127))
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class WordPiece:
    """Turns text into ids of `vocabulary` (piece -> id); the special pieces must be in it."""

    def __init__(self, vocabulary: dict[str, int]) -> None:
        if missing := [piece for piece in (PAD, UNKNOWN, CLS, SEP) if piece not in vocabulary]:
            raise ConfigError(f"The vocabulary lacks {', '.join(missing)}.", fix="Use the vocab.txt of a BERT model.")
        self._ids, self.size = vocabulary, len(vocabulary)
        self._longest = max(map(len, vocabulary))
        self._memo: dict[str, tuple[int, ...]] = {}
        self.pad, self.unknown, self.cls, self.sep = (vocabulary[piece] for piece in (PAD, UNKNOWN, CLS, SEP))
        self.inner = frozenset(id_ for piece, id_ in vocabulary.items() if piece.startswith("##"))

    @classmethod
    def load(cls, path: Path) -> "WordPiece":
        """Read a `vocab.txt`: one piece a line, its id is the line's number from 0."""
        return cls({piece: id_ for id_, piece in enumerate(path.read_text("utf-8").rstrip("\n").split("\n"))})

    def ids(self, text: str) -> list[int]:
        """The ids of `text`, without marks at its ends; empty where nothing of it is left after cleaning."""
        return [id_ for word in words(text) for id_ in self.word(word)]

    def word(self, word: str) -> tuple[int, ...]:
        """The ids of one of `words`, one or more."""
        found = self._memo.get(word)
        if found is None:
            found = self._pieces(word)
            if len(self._memo) < MEMO and len(word) <= MAX_WORD:
                self._memo[word] = found
        return found

    def _pieces(self, word: str) -> tuple[int, ...]:
        """The longest piece first, from the left; a word that cannot be covered is unknown as a whole."""
        if len(word) > MAX_WORD:
            return (self.unknown,)
        found: list[int] = []
        start = 0
        while start < len(word):
            id_, start = self._longest_piece(word, start)
            if id_ is None:
                return (self.unknown,)
            found.append(id_)
        return tuple(found)

    def _longest_piece(self, word: str, start: int) -> tuple[int | None, int]:
        prefix = "##" if start else ""
        for end in range(min(len(word), start + self._longest), start, -1):
            if (id_ := self._ids.get(prefix + word[start:end])) is not None:
                return id_, end
        return None, len(word)


def words(text: str) -> list[str]:
    """Cleaned, lower-cased, accent-free words, each punctuation mark and ideograph on its own. Linear in the text."""
    if text.isascii():
        return _ASCII_WORDS.findall(text.translate(_ASCII_CONTROLS).lower())
    return spelt(text).split()


def spelt(text: str) -> str:
    """What is read of a text, white space between its words; of one character too, but for the order of marks."""
    return unicodedata.normalize("NFD", text.translate(_CLEANED)).translate(_SPELLED)


# Characters assigned after Unicode 8, whose tables the reference uses: to it they are neither marks, punctuation nor
# formats. Exact for all of Unicode 14 (Python 3.11); of what is newer, only splitting in rare scripts can differ.
_YOUNGER = """
61d 7fd 890-891 898-89f 8ca-8e2 9fd-9fe a76 afa-aff b55 c04 c3c c77 c84 d00 d3b-d3c d81 eba 180f 1885-1886
1abf-1ace 1b7d-1b7e 1df6-1dfb 2e43-2e4f 2e52-2e5d a82c a8c5 a8ff a9bd 10d24-10d27 10eab-10ead 10f46-10f50
10f55-10f59 10f82-10f89 11070 11073-11074 110c2 110cd 111cf 1123e 1133b 11438-1143f 11442-11444 11446
1144b-1144f 1145a-1145b 1145d-1145e 11660-1166c 116b9 1182f-11837 11839-1183b 1193b-1193c 1193e 11943-11946
119d4-119d7 119da-119db 119e0 119e2 11a01-11a0a 11a33-11a38 11a3b-11a47 11a51-11a56 11a59-11a5b 11a8a-11a96
11a98-11a9c 11a9e-11aa2 11c30-11c36 11c38-11c3d 11c3f 11c41-11c45 11c70-11c71 11c92-11ca7 11caa-11cb0
11cb2-11cb3 11cb5-11cb6 11d31-11d36 11d3a 11d3c-11d3d 11d3f-11d45 11d47 11d90-11d91 11d95 11d97 11ef3-11ef4
11ef7-11ef8 11fff 12ff1-12ff2 13430-13438 16e97-16e9a 16f4f 16fe2 16fe4 1cf00-1cf2d 1cf30-1cf46 1e000-1e006
1e008-1e018 1e01b-1e021 1e023-1e024 1e026-1e02a 1e130-1e136 1e2ae 1e2ec-1e2ef 1e944-1e94a 1e95e-1e95f
"""
_OLDER = {0x166D: "Po", 0x1734: "Mn", 0x111C9: "Po"}  # categories that have changed since Unicode 8


def _ranges(written: str) -> frozenset[int]:
    bounds = [[int(end, 16) for end in part.split("-")] for part in written.split()]
    return frozenset(code for pair in bounds for code in range(pair[0], pair[-1] + 1))


_YOUNG = _ranges(_YOUNGER)


def _category(code: int) -> str:
    return _OLDER.get(code) or ("Cn" if code in _YOUNG else unicodedata.category(chr(code)))


def _clean(code: int) -> str:
    """Step one: controls go, white space becomes a space, ideographs get spaces around them."""
    char, category = chr(code), _category(code)
    if char in "\t\n\r" or category in ("Zs", "Zl", "Zp"):
        return " "
    if category in ("Cc", "Cf", "Co", "Cs") or code == 0xFFFD:
        return ""
    return f" {char} " if any(low <= code <= high for low, high in _IDEOGRAPHS) else char


def _spell(code: int) -> str:
    """Step two, on decomposed text: accents go, punctuation gets spaces around it, letters become small."""
    char, category = chr(code), _category(code)
    if category == "Mn":
        return ""
    return f" {char} " if category[0] == "P" or char in _ASCII_PUNCTUATION else char.lower()


class _Table(dict[int, str]):
    """A table for `str.translate` that is worked out as characters are met."""

    def __init__(self, rule: Callable[[int], str]) -> None:
        self._rule = rule

    def __missing__(self, code: int) -> str:
        value = self._rule(code)
        if len(self) < MEMO:
            self[code] = value
        return value


_CLEANED, _SPELLED = _Table(_clean), _Table(_spell)
