"""What texts are looked up by: words, stemmed by each index itself, and grams of characters for what is not English.

Thai, Chinese and Japanese do not part words by spaces, and most languages inflect more than English: runs of three
characters find what whole words miss. All indexes are given the same grams, so that they find the same. Pure.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

MAX_TERMS = 48  # words of a question that are searched for; a longer one is a document of its own
MAX_GRAMS = 160
GRAM = 3
_WORD = re.compile(r"\w+")
_LETTER = re.compile(r"[^\W\d_]")
_GAP = re.compile(r"[^\w\u0300-\u036f\u0900-\u0dff\u0e00-\u0eff\u0f00-\u109f\u1780-\u17ff]+")
_OTHER = re.compile(r"[^\W\d_\u0000-\u03ff]")
_SEEN = 2000  # characters by which a text's language is told
_SCRIPTS = {
    "cjk": "chinese", "hiragana": "japanese", "katakana": "japanese", "hangul": "korean", "halfwidth": "japanese",
    "ideographic": "chinese", "fullwidth": "latin",
}  # fmt: skip
STOP = frozenset(
    _WORD.findall(
        "a about an and any are as at be been being but by can could did do does doing for from had has have "
        "having he her  hers him his how i if in into is it its itself just me my of on or our ours she should so "
        "some such than that the  their them then there these they this those to too us was we were what when "
        "where which while who whom whose why  will with would you your yours am not no s t re ve ll d m"
    )
)
_SHARED = "a am as at d do he i in is it m me no of on s so t to us was we"
_TELLTALE = STOP - frozenset(_WORD.findall(_SHARED))
"""Little words that are English and hardly anything else."""
_IDEOGRAPHS = (("\u3040", "\u30ff"), ("\u3400", "\u9fff"), ("\uf900", "\ufaff"), ("\U00020000", "\U0003ffff"))
"""Kana and Chinese characters."""
ENGLISH, LATIN = "english", "latin"


def words(question: str) -> list[str]:
    """The question's words, each once; those that say little are left out unless there are no others."""
    found = list(dict.fromkeys(_WORD.findall(question.casefold().replace("\0", " "))))
    return ([word for word in found if word not in STOP] or found)[:MAX_TERMS]


def all_words(text: str) -> list[str]:
    """Every word, in order and as often as it stands there."""
    return _WORD.findall(text)


def grams(text: str) -> Iterator[str]:
    """Every run of three characters, in order; a space is `_`. Of Chinese and Japanese also every two.

    The text is compared without regard to case, width and form (NFKC).
    """
    plain = f"_{_GAP.sub('_', unicodedata.normalize('NFKC', text).casefold().replace('_', ' '))}_".replace("__", "_")
    for start in range(len(plain) - 1):
        gram = plain[start : start + GRAM]
        if len(gram) == GRAM:
            yield gram
        if _ideographic(gram[0]) and _ideographic(gram[1]):
            yield gram[:2]


def grammed(text: str, language: str) -> bool:
    """Whether the grams of a text are kept: of English, only where something in it is in other letters."""
    return language != ENGLISH or bool(_OTHER.search(text))


def asked_grams(question: str) -> list[str]:
    """The grams that a question is looked up by, each once; of English words in it, the telling ones alone."""
    telling = _WORD.sub(lambda found: "" if found[0].casefold() in STOP else found[0], question)
    return [gram for gram in dict.fromkeys(grams(telling)) if gram != "_"][:MAX_GRAMS]


def language(text: str) -> str:
    """What a text is written in, by its script: `english`, `latin` (other languages in it), `thai`, `chinese`, ...

    A text without letters is `english`. Japanese is told from Chinese by its kana. Latin letters count a third beside
    others: names and commands stand in every language.
    """
    scripts: Counter[str] = Counter(_script(letter) for letter in _LETTER.findall(text[:_SEEN]))
    if not scripts:
        return ENGLISH
    if scripts["japanese"] * 20 >= scripts.total():
        return "japanese"
    worth = {name: count / 3 if name == LATIN and len(scripts) > 1 else count for name, count in scripts.items()}
    script = max(worth, key=lambda name: (worth[name], name))
    return ENGLISH if script == LATIN and _english(text[:_SEEN]) else script


def _english(text: str) -> bool:
    """English has one of its own little words in every seven or so; other languages that share a few have less."""
    found = _WORD.findall(text.casefold())
    return sum(word in _TELLTALE for word in found) * 14 >= len(found)


def _script(letter: str) -> str:
    name = unicodedata.name(letter, "LATIN").partition(" ")[0].partition("-")[0].lower()
    return _SCRIPTS.get(name, name)


def _ideographic(char: str) -> bool:
    return any(first <= char <= last for first, last in _IDEOGRAPHS)
