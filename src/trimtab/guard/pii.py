"""Finds personal data: what has a structure by patterns with checksums, names and addresses by the house encoder.

Kinds: EMAIL PHONE CARD IBAN IP URL_CREDENTIALS URL US_SSN CRYPTO and the national numbers of national.toml; of the
encoder PERSON and ADDRESS, and PLACE and ORGANIZATION where somebody is named or reached in the same text; and, where
names are looked for, BIRTH_DATE. Precision comes first: a checksum, a numbering plan or a word nearby must speak for a
run of digits before it is called personal.
"""

import asyncio
import ipaddress
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import cache, partial
from typing import Any

import msgspec

from trimtab.errors import ConfigError
from trimtab.guard._births import WORD
from trimtab.guard._cards import CODES, NAMES, cards, codes
from trimtab.guard._digits import ESCAPED, ascii_digits, is_short, near, small
from trimtab.guard._emails import emails, may_have_one
from trimtab.guard._names import KNOWN, TAGS, tagged
from trimtab.guard._national import national, table
from trimtab.guard._phones import MEANT, Plans, phones, plain
from trimtab.guard._pieces import Found, spans
from trimtab.guard._spans import apart, united
from trimtab.guard._tables import columns
from trimtab.guard._threads import are_long, are_numbers
from trimtab.guard._unseen import Unseen
from trimtab.ports import Guard, Tools
from trimtab.types import OK, Request, Span, Text, Verdict

REGIONS = ("US", "GB", "AU")
DIGIT = re.compile(r"[0-9]")
CANDIDATE = re.compile(
    r"[0-9](?:[0-9]|[ .\-()/:A-Za-z][0-9 (]){4}|[0-9]\.[0-9]{1,3}\.[0-9]|[A-Za-z]{5}[0-9]{2}"
    r"|[1-9][A-Z][A-Z0-9][0-9]-?[A-Z]|(?:0x|bc1|[13])[A-Za-z0-9]{25}|[0-9a-fA-F]{1,4}:[0-9a-fA-F]{0,4}:"
)
"""Where no such run stands and no `@`, nothing below can match."""
LOGIN = re.compile(
    r"(?<![\w+.-])[a-zA-Z][a-zA-Z0-9+.-]{1,20}://[^\s/:@]{0,100}:[^\s/@]{1,200}@[^\s\"'<>]{0,400}[^\s\"'<>.,;:!?)]"
)
LINK = re.compile(r"(?<![\w@./-])(?:https?://|ftp://|www\.)[^\s\"'<>)\]]{2,2000}[^\s\"'<>)\].,;:!?]")
# A regex that begins with a character class is searched fast: so the look at what stands before comes second.
IBAN = re.compile(
    r"[A-Za-z](?<![A-Za-z].)[A-Za-z] ?[0-9]{2}(?:[ -]?[A-Za-z0-9]{4}){2,7}(?:[ -]?[A-Za-z0-9]{1,3})?(?![A-Za-z0-9])"
)
IPV4 = re.compile(
    r"[0-9](?<![A-Za-z0-9].)(?<![A-Za-z0-9]\..)[0-9]{0,2}\.(?:[0-9]{1,3}\.){2}[0-9]{1,3}(?![A-Za-z0-9]|\.[0-9])"
)
IPV6 = re.compile(
    r"(?<![A-Za-z0-9:.])[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]{2,34}(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3})?(?![A-Za-z0-9:])"
)
VERSION = ("version", "ver.", " v", "release", "build", "firmware", "driver", "section", "chapter")
SSN = re.compile(r"[0-8](?<![0-9].)[0-9]{2}(?<!000)(?<!666)([- ]?|\s-\s)(?!00)[0-9]{2}\1(?!0000)[0-9]{4}(?![0-9])")
SSN_BEFORE, SSN_AFTER = re.compile(r"[A-Za-z0-9]-?\Z|[0-9]\.\Z"), re.compile(r"-?[A-Za-z0-9]")
"""What stands right beside it where it is a part of a longer number or of a word."""
SSN_WORDS = ("ssn", "social security", "soc sec")
ETH = re.compile(r"(?<![A-Za-z0-9])0x[0-9a-fA-F]{40}(?![A-Za-z0-9])")
BTC = re.compile(
    r"[13b](?<![A-Za-z0-9].)(?:(?<=[13])[1-9A-HJ-NP-Za-km-z]{25,34}|(?<=b)c1[02-9ac-hj-np-z]{11,71})(?![A-Za-z0-9])"
)
BLOCK = re.compile(r"[A-Za-z0-9+/=](?<![A-Za-z0-9+/=].)[A-Za-z0-9+/=]{199,}")
"""A run without any sign between: an image in base64, not something that one person has."""
LONGEST = 2_500
"""Characters of the longest find, a link."""


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`regions`: countries whose national phone format counts without a `+`; `urls`: plain links count too.

    `kinds` empty means all; else only these are findings. `tags` are the encoder's kinds and BIRTH_DATE: not given,
    the mask before a remote model has PERSON, ADDRESS, PLACE, ORGANIZATION and BIRTH_DATE, and this guard, which judges
    every request, none; what is given holds for both.
    """

    regions: tuple[str, ...] = REGIONS
    urls: bool = False
    kinds: tuple[str, ...] = ()
    tags: tuple[str, ...] | None = None


class Pii:
    """A finding is personal data in any of the texts; its spans say where, never what."""

    def __init__(self, options: Options, tools: Tools) -> None:
        self._options, self._tools = options, tools

    async def check(self, texts: Sequence[Text], request: Request) -> Verdict:
        apart = are_long(texts) or are_numbers(texts)
        structured = await asyncio.to_thread(self._structured, texts) if apart else self._structured(texts)
        if self._options.tags:
            said = [text.text for text in texts]
            names = await tagged(self._tools, said, self._options.tags, structured)
            structured = [sorted((*one, *other), key=_start) for one, other in zip(structured, names, strict=True)]
        found = tuple(
            msgspec.structs.replace(span, path=text.path)
            for text, spans in zip(texts, structured, strict=True)
            for span in spans
            if not self._options.kinds or span.kind in self._options.kinds
        )
        if not found:
            return OK
        kinds = ", ".join(sorted({span.kind for span in found}))
        return Verdict(ok=False, code="personal_data", why=f"Personal data: {kinds}.", spans=found)

    def _structured(self, texts: Sequence[Text]) -> list[Sequence[Span]]:
        return [find(text.text, self._options.regions, self._options.urls) for text in texts]


def build(options: Options, tools: Tools) -> Guard:
    """The guard; the numbering plans are read before the first request. Raises `ConfigError` for an unknown tag."""
    if unknown := set(options.tags or ()) - set(KNOWN):
        raise ConfigError(
            f"{tools.name}: unknown tags {', '.join(sorted(unknown))}.", f"Known are: {', '.join(KNOWN)}."
        )
    tools.starting(_warm)
    return Pii(options, tools)


async def names(tools: Tools, texts: Sequence[str], options: Options) -> list[tuple[Span, ...]]:
    """The names that a mask hides in each of `texts`, beside what `find` finds."""
    kinds = TAGS if options.tags is None else options.tags

    def structured() -> list[tuple[Span, ...]]:
        return [find(text, options.regions, options.urls) for text in texts]

    return await tagged(tools, texts, kinds, await asyncio.to_thread(structured) if kinds else [])


def _start(span: Span) -> int:
    return span.start


def find(text: str, regions: Sequence[str] = REGIONS, urls: bool = False) -> tuple[Span, ...]:
    """The structured personal data in `text`, in order, without overlaps; `Span.path` is empty.

    Offsets are characters of `text`. Where two kinds claim the same characters, the more certain one stands.
    """
    plans = Plans()

    def looked(said: str) -> tuple[Span, ...]:
        return spans(
            said, LONGEST, lambda piece: _whole(piece, partial(_found, regions=regions, urls=urls, plans=plans))
        )

    found = looked(text)
    if not (headed := columns(text, telling())):
        return found
    inside = [one for column in headed for one in column.back(map(_placed, looked(column.text)))]
    return apart((*inside, *map(_placed, found)), len(text))


@cache
def telling() -> re.Pattern[str]:
    """What the head of a column says, in small letters, where its cells are telephone or other personal numbers."""
    words = sorted({word for kind in table().kinds for word in kind.words} | {*SSN_WORDS, *NAMES})
    alone = (rf"(?<![a-z]){re.escape(word)}(?![a-z])" if is_short(word) else re.escape(word) for word in words)
    return re.compile("|".join((MEANT.pattern, WORD.pattern, *alone)))


def _placed(span: Span) -> tuple[str, int, int]:
    return span.kind, span.start, span.end


def _whole(text: str, find: Callable[[str], Found]) -> Found:
    """What `find` finds in the text, and in the text without the characters that nobody sees."""
    if text.isascii() or not (unseen := Unseen(text)):
        return find(text)
    return united((*find(text), *unseen.back(find(unseen.text))))


def _found(text: str, regions: Sequence[str], urls: bool, plans: Plans) -> Found:
    """All finds, the most certain kind first; what was found is gone for the kinds after it."""
    has_at = may_have_one(text)
    if not text.isascii():
        text = ascii_digits(text)
    digits = DIGIT.search(text) is not None and (CANDIDATE.search(text) or CODES.search(text)) is not None
    links = urls and ("://" in text or "www." in text)
    if not (has_at or digits or links):
        return
    text = yield from _in_turn(text, _written(text, has_at, links))
    if digits:
        text = _without_blocks(text)
        text = ESCAPED.sub("  ", text) if "\\" in text else text
        yield from _in_turn(text, _numbers(small(text), regions, plans))


def _in_turn(text: str, finders: Iterable[Callable[[str], Found]]) -> Generator[tuple[str, int, int], None, str]:
    """What they find, each in what those before it left; and what is left of `text`, as long as it was."""
    for find in finders:
        for kind, start, end in tuple(find(text)):
            yield kind, start, end
            text = text[:start] + "\0" * (end - start) + text[end:]
    return text


def _written(text: str, has_at: bool, links: bool) -> Iterator[Callable[[str], Found]]:
    """What finds addresses and links."""
    if has_at:
        if "://" in text:
            yield lambda text: _plain("URL_CREDENTIALS", LOGIN, text)
        yield lambda text: (("EMAIL", start, end) for start, end in emails(text))
    if links:
        yield lambda text: _plain("URL", LINK, text)


def _numbers(low: str, regions: Sequence[str], plans: Plans) -> Iterator[Callable[[str], Found]]:
    """What finds numbers; `low` is the text in lower case, for the words beside them."""
    yield _ibans
    yield _wallets
    words = low.replace("_", " ")
    yield lambda text: _ssns(text, words)
    yield lambda text: (("PHONE", start, end) for start, end in plain(text, low))
    yield lambda text: (("CARD", start, end) for start, end in (*codes(text), *cards(text, words)))
    yield lambda text: national(text, words)
    yield lambda text: _ips(text, low)
    yield lambda text: (("PHONE", start, end) for start, end in phones(text, low, regions, plans))


def _without_blocks(text: str) -> str:
    """`text` with such runs blotted out; its length is the same."""
    return BLOCK.sub(lambda block: "\0" * len(block[0]), text) if len(text) > 200 else text


def _plain(kind: str, shape: re.Pattern[str], text: str) -> Found:
    yield from ((kind, *match.span()) for match in shape.finditer(text))


def _ibans(text: str) -> Found:
    at = 0
    while match := IBAN.search(text, at):
        end = _iban_end(match[0])
        at = match.start() + max(end, 1)
        if end:
            yield "IBAN", match.start(), at


def _iban_end(run: str) -> int:
    """Where the IBAN at the start of `run` ends, 0 where none is: a word may follow it and look like its last group."""
    from stdnum import iban

    ends = [len(run), *(i for i in range(len(run) - 1, 14, -1) if run[i] in " -")]
    return next((end for end in ends if _valid(lambda end=end: iban.validate(run[:end], check_country=False))), 0)


def _wallets(text: str) -> Found:
    if "0x" in text:
        yield from _plain("CRYPTO", ETH, text)
    for match in BTC.finditer(text):
        from stdnum import bitcoin

        if _valid(lambda match=match: bitcoin.validate(match[0])):
            yield "CRYPTO", match.start(), match.end()


def _ssns(text: str, low: str) -> Found:
    for match in SSN.finditer(text):
        start, end = match.span()
        part = SSN_BEFORE.search(text, max(0, start - 2), start) or SSN_AFTER.match(text, end)
        if (match[1] and match[1] != " " and not part) or near(low, start, end, SSN_WORDS):
            yield "US_SSN", start, end


def _ips(text: str, low: str) -> Found:
    for match in IPV4.finditer(text) if "." in text else ():
        if _address(match[0]) and not near(low, *match.span(), VERSION, before=12, after=0):
            yield "IP", match.start(), match.end()
    for match in IPV6.finditer(text) if ":" in text else ():
        if sum(map(bool, match[0].split(":"))) > 2 and _address(match[0]):
            yield "IP", match.start(), match.end()


def _address(text: str) -> bool:
    """Whether it is an address of somebody: not this machine's own, not a netmask."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified or text.startswith("255."))


def _valid(check: Any) -> bool:
    from stdnum.exceptions import ValidationError

    try:
        check()
    except (ValidationError, ValueError):
        return False
    return True


async def _warm() -> None:
    find("Call +1 201 555 0123 or 4111 1111 1111 1111, IBAN GB82 WEST 1234 5698 7654 32.")
