"""Finds keys and passwords by their well-known formats; a verdict's spans say where, and nothing ever says what.

Formats are the issuers' own, as their documentation and secret-scanning lists give them. detect-secrets 1.5.0 was
tried first: 1.8 ms for a line of 200 characters against a few microseconds here, 120 ms of import, `requests` and
PyYAML as dependencies, global settings, spans by value instead of offset, no format for Anthropic's or Google's keys.
"""

import asyncio
import re
from collections.abc import Sequence
from functools import cache
from math import log2
from typing import NamedTuple

import msgspec

from trimtab.guard._pieces import Found, spans
from trimtab.guard._threads import are_long
from trimtab.ports import Guard, Tools
from trimtab.sieve import Sieve
from trimtab.types import OK, Request, Span, Text, Verdict


class Format(NamedTuple):
    """A kind of secret: `mark` is a literal that must stand in the text before the shape is tried."""

    kind: str
    mark: str
    shape: re.Pattern[str]


def _of(kind: str, mark: str, shape: str) -> Format:
    return Format(kind, mark, re.compile(rf"(?<![A-Za-z0-9_-]){shape}(?![A-Za-z0-9_])"))


FORMATS = (
    _of("ANTHROPIC_KEY", "sk-ant-", r"sk-ant-[A-Za-z0-9]{2,12}-[A-Za-z0-9_-]{24,200}"),
    _of(
        "OPENAI_KEY",
        "sk-",
        r"sk-(?!ant-)(?:(?:proj|svcacct|admin|None)-)?(?=[A-Za-z_-]{0,60}[0-9])[A-Za-z0-9_-]{20,200}",
    ),
    _of("AWS_KEY_ID", "AKIA", r"AKIA[0-9A-Z]{16}"),
    _of("AWS_KEY_ID", "ASIA", r"ASIA[0-9A-Z]{16}"),
    _of("GITHUB_TOKEN", "gh", r"gh[pousr]_[A-Za-z0-9]{36,255}"),
    _of("GITHUB_TOKEN", "github_pat_", r"github_pat_[A-Za-z0-9_]{40,255}"),
    _of("GITLAB_TOKEN", "glpat-", r"glpat-[A-Za-z0-9_-]{20,64}"),
    _of("GOOGLE_KEY", "AIza", r"AIza[A-Za-z0-9_-]{35}"),
    _of("GOOGLE_OAUTH", "GOCSPX-", r"GOCSPX-[A-Za-z0-9_-]{28}"),
    _of("SLACK_TOKEN", "xox", r"xox[abeoprs]-[A-Za-z0-9-]{10,250}"),
    _of(
        "SLACK_WEBHOOK",
        "hooks.slack.com",
        r"hooks\.slack\.com/services/T[A-Z0-9]{6,14}/B[A-Z0-9]{6,14}/[A-Za-z0-9]{20,40}",
    ),
    _of("STRIPE_KEY", "_live_", r"[sr]k_live_[A-Za-z0-9]{16,247}"),
    _of("STRIPE_KEY", "_test_", r"[sr]k_test_[A-Za-z0-9]{16,247}"),
    _of("HUGGINGFACE_TOKEN", "hf_", r"hf_[A-Za-z0-9]{30,64}"),
    _of("GROQ_KEY", "gsk_", r"gsk_[A-Za-z0-9]{40,64}"),
    _of("XAI_KEY", "xai-", r"xai-[A-Za-z0-9]{60,90}"),
    _of("REPLICATE_TOKEN", "r8_", r"r8_[A-Za-z0-9]{37}"),
    _of("NPM_TOKEN", "npm_", r"npm_[A-Za-z0-9]{36}"),
    _of("TRIMTAB_KEY", "tt_", r"tt_[a-z0-9]{12}\.[A-Za-z0-9_-]{43}"),
    _of("PYPI_TOKEN", "pypi-", r"pypi-AgE[A-Za-z0-9_-]{50,300}"),
    _of("SENDGRID_KEY", "SG.", r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    _of("DIGITALOCEAN_TOKEN", "_v1_", r"do[opr]_v1_[a-f0-9]{64}"),
    _of("SHOPIFY_TOKEN", "shp", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    _of("TELEGRAM_TOKEN", ":AA", r"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}"),
    _of("AZURE_KEY", "AccountKey=", r"AccountKey=[A-Za-z0-9+/]{86}=="),
    _of("JWT", "eyJ", r"eyJ[A-Za-z0-9_-]{8,2000}\.eyJ[A-Za-z0-9_-]{8,8000}\.[A-Za-z0-9_-]{10,2000}"),
)
PEM = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,10} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
PEM_END = re.compile(r"-----END (?:[A-Z0-9]{1,10} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
KEY_BEGIN, KEY_END = "PRIVATE_KEY_BEGIN", "PRIVATE_KEY_END"
CONNECTION = re.compile(
    r"(?<![\w+.-])[a-zA-Z][a-zA-Z0-9+.-]{1,20}://[^\s/:@]{0,100}:([^\s/@]{1,200})@[^\s\"'<>@]{1,400}"
)
WORDS = ("passw", "pwd", "secret", "api", "token", "credential", "private", "access")
ASSIGNED = re.compile(
    r"(?<![a-z])(passwd|password|pwd|passphrase|secret|(?:api|access|private|secret|auth|client|account|encryption)"
    r"[ _-]?(?:key|token|secret)(?:[ _-]?id)?|token|credentials?|aws_secret_access_key|secret_access_key)"
    r"[\"'\]]?\s{0,3}(?::=|=>|[:=]|\bis\b)\s{0,3}(?:bearer )?([\"'`]?)([^\s\"'`,;<>(){}]{6,200})",
    re.IGNORECASE,
)
EMPTY = re.compile(
    r"(?:your|my|the|some|example|sample|changeme|change_me|placeholder|dummy|fake|test|todo|none|null|undefined|redacted|"
    r"process\.|os\.|env[.\[]|config|settings|self\.|\$|%|\*|x{4}|\.{3}|-{3}|_{3})",
    re.IGNORECASE,
)
"""How values begin that stand for a secret and are none."""
LONGEST = 13_000
"""Characters of the longest find, a JWT."""
BITS = 3.0
"""Shannon entropy, bits a character, that an assigned value needs: detect-secrets asks 3.0 of hexadecimal digits."""


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`assigned`: `password = "..."` with a value that looks random is a finding too."""

    assigned: bool = True


class Secrets:
    """A finding is a key or a password in any of the texts."""

    def __init__(self, options: Options) -> None:
        self._assigned = options.assigned

    async def check(self, texts: Sequence[Text], request: Request) -> Verdict:
        found = await asyncio.to_thread(self._spans, texts) if are_long(texts) else self._spans(texts)
        if not found:
            return OK
        kinds = ", ".join(sorted({span.kind for span in found}))
        return Verdict(ok=False, code="secret", why=f"A secret stands in the text: {kinds}.", spans=found)

    def _spans(self, texts: Sequence[Text]) -> tuple[Span, ...]:
        return tuple(
            msgspec.structs.replace(span, path=text.path) for text in texts for span in find(text.text, self._assigned)
        )


def build(options: Options, _: Tools) -> Guard:
    return Secrets(options)


def find(text: str, assigned: bool = True) -> tuple[Span, ...]:
    """The secrets in `text`, in order, without overlaps; `Span.path` is empty."""
    found = spans(text, LONGEST, lambda piece: _all(piece, assigned))
    return _joined(text, found) if any(span.kind == KEY_BEGIN for span in found) else found


def _joined(text: str, found: Sequence[Span]) -> tuple[Span, ...]:
    """Private key blocks from their first line to their last; one that is cut off reaches to the end of the text."""
    kept: list[Span] = []
    for span in found:
        if kept and span.start < kept[-1].end:
            continue
        if span.kind == KEY_BEGIN:
            end = next((other.end for other in found if other.kind == KEY_END and other.start >= span.end), len(text))
            span = Span(kind="PRIVATE_KEY", start=span.start, end=end)
        kept.append(span)
    return tuple(span for span in kept if span.kind != KEY_END)


def _all(text: str, assigned: bool) -> Found:
    hits = _sieve()(text)
    for hit in hits:
        if hit < len(FORMATS):
            kind, mark, shape = FORMATS[hit]
            if mark in text:
                yield from ((kind, *match.span()) for match in shape.finditer(text) if _varied(match[0]))
    if not hits or hits[-1] < len(FORMATS):
        return
    if "-----BEGIN" in text or "-----END" in text:
        yield from ((KEY_BEGIN, *match.span()) for match in PEM.finditer(text))
        yield from ((KEY_END, *match.span()) for match in PEM_END.finditer(text))
    if "://" in text and "@" in text:
        yield from (
            ("CONNECTION_PASSWORD", *match.span(1)) for match in CONNECTION.finditer(text) if not EMPTY.match(match[1])
        )
    if assigned and (":" in text or "=" in text or " is " in text):
        yield from _assignments(text)


@cache
def _sieve() -> Sieve:
    """The marks of the formats, and behind them those of what has none."""
    marks = [re.escape(secret.mark) for secret in FORMATS]
    return Sieve((*marks, "-----BEGIN|-----END|://", "|".join(f"(?i:{word})" for word in WORDS)))


def _assignments(text: str) -> Found:
    low = text.lower()
    if not any(word in low for word in WORDS):
        return
    for match in ASSIGNED.finditer(text):
        quoted, value = bool(match[2]), match[3].rstrip(".!?")
        if not EMPTY.match(value) and _random(value, quoted):
            yield "ASSIGNED_SECRET", match.start(3), match.start(3) + len(value)


def _random(value: str, quoted: bool) -> bool:
    """Whether a value looks chosen to be secret: a digit among letters or signs, and entropy."""
    mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    signs = any(not c.isalnum() for c in value)
    enough = BITS if len(value) >= 12 else (2.25 if quoted or signs else 2.75)
    return mixed and "://" not in value and _entropy(value) >= enough


def _varied(value: str) -> bool:
    """Not a documented filler such as `sk-xxxxxxxx`."""
    return _entropy(value[-24:]) >= 2.0


def _entropy(value: str) -> float:
    """Shannon's entropy of the characters, bits each."""
    size = len(value)
    return -sum(n / size * log2(n / size) for n in map(value.count, set(value)))
