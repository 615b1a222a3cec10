"""Regular extraction: "extract all email addresses from the following text: ...", and the user's own patterns.

Only kinds of which every reader sees the same ones in a text; each found once, one to a line, in the text's order.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.answer._reading import Reading, Unclear

LONGEST = 50_000
"""Characters of the longest text that is searched."""
MOST = 500
_ASKED = re.compile(
    r"(?:please |can you |could you )?(?:extract|list|find|give me|what are) (?:all |all of )?(?:the )?"
    r"([a-z0-9][a-z0-9 -]{1,60}?) (?:in|from|of|within) (?:this|the|the following|following|this following)"
    r"(?: (?:text|message|email|document|paragraph|log|note))?(?:,? one per line)? ?[:?.]?",
    re.IGNORECASE,
)
_KINDS = {
    "email addresses": r"[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}",
    "urls": r"https?://[^\s<>\"'`\[\]{}|\\^]{1,2000}",
    "ipv4 addresses": r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)",
    "uuids": r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
    "iso dates": r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])",
    "hashtags": r"#[^\W\d_]\w{0,100}",
}
_SAME = {
    "emails": "email addresses", "e-mail addresses": "email addresses", "e-mails": "email addresses", "links": "urls",
    "web addresses": "urls", "ip addresses": "ipv4 addresses", "ipv4s": "ipv4 addresses", "hash tags": "hashtags",
}  # fmt: skip
_AROUND = {"email addresses": r"[\w@.-]", "ipv4 addresses": r"[\w.]", "uuids": r"[\w-]", "iso dates": r"[\w-]"}
"""What stands beside none of its kind: where it does, what was found is part of something else."""


def patterns(own: Mapping[str, str]) -> dict[str, Any]:
    """The user's patterns by what they are called, compiled. Raises `ValueError` for one that RE2 does not read."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return {_called(name): re2.compile(pattern, options) for name, pattern in own.items()}
    except re2.error as error:
        raise ValueError(str(error)) from error


def read(question: str, own: Mapping[str, Any]) -> Reading:
    """The things asked for in the text after the first line. Raises `Unclear`."""
    asked, _, text = question.partition("\n")
    if not text and ": " in question:
        asked, _, text = question.partition(": ")
        asked += ":"
    match = _ASKED.fullmatch(asked.strip())
    if not match or not text.strip() or len(text) > LONGEST:
        raise Unclear
    name = _called(match[1])
    if name in own:
        found = [hit.group(0) for hit in own[name].finditer(_whole(text))]
    else:
        found = _found(_SAME.get(name, name), text)
    unique = list(dict.fromkeys(one for one in found if one))
    if len(unique) > MOST:
        raise Unclear
    return Reading("\n".join(unique) or f"There are no {name} in it.", f"extract: {name}, {len(unique)} found")


def _found(kind: str, text: str) -> Sequence[str]:
    if kind not in _KINDS:
        raise Unclear
    hits = list(re.finditer(_KINDS[kind], text))
    around = _AROUND.get(kind)
    if around and any(_beside(text, hit, around) for hit in hits):
        raise Unclear  # part of something longer: two readers may differ
    return [_bare(hit[0]) for hit in hits] if kind == "urls" else [hit[0] for hit in hits]


def _beside(text: str, hit: "re.Match[str]", around: str) -> bool:
    before, after = text[max(0, hit.start() - 1) : hit.start()], text[hit.end() : hit.end() + 2]
    stop = after[:1] == "." and not after[1:].strip()  # the end of a sentence
    return bool(re.match(around, before)) or (bool(re.match(around, after[:1])) and not stop)


def _bare(url: str) -> str:
    """Without the marks of the sentence around it. Raises `Unclear` for a bracket that may be either's."""
    url = url.rstrip(".,;:!?*_")
    if url.endswith(")") and url.count("(") != url.count(")"):
        if "(" in url:
            raise Unclear
        url = url[:-1].rstrip(".,;:!?*_)")
    return url


def _called(name: str) -> str:
    return " ".join(name.casefold().split())


def _whole(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
