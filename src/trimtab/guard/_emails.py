"""E-mail addresses: found by their @, then read forwards and backwards, which is linear in any text.

An @ may be written %40, as in links, or in words and brackets, as people hide it from machines: `jane (at) acme.com`.
"""

import re
from collections.abc import Iterator

HOST = re.compile(r"@\w[\w.-]{0,189}\.([^\W\d_]{2,24})")
IN_LINKS = re.compile(r"%40\w[\w.-]{0,189}\.([^\W\d_]{2,24})")
SPELT = re.compile(
    r" ?[\[({<] ?(?:at|@|arroba|ät) ?[\])}>] ?\w[\w-]{0,62}"
    r"(?:(?:\.| ?[\[({<] ?(?:dot|punkt|point|punto|ponto|\.) ?[\])}>] ?)[\w-]{1,62}){0,5}"
    r"(?:\.| ?[\[({<] ?(?:dot|punkt|point|punto|ponto|\.) ?[\])}>] ?)([^\W\d_]{2,24})(?![\w-])",
    re.IGNORECASE,
)
SIGN = re.compile(r"[\[({<] ?(?:at|arroba|ät|@) ?[\])}>]", re.IGNORECASE)
"""What every address spelt so has: cheap to look for."""
LOCAL = re.compile(r"[\w.%+'-]*")
LONGEST = 256
"""Characters before the @ that are looked at: RFC 5321 allows 64."""
COMMON = re.compile(
    "com|net|org|edu|gov|mil|int|info|biz|name|io|ai|co|me|app|dev|tv|xyz|online|shop|site|example|eu|uk|"
    "us|ca|au|nz|ie|in|de|at|ch|fr|be|nl|lu|es|pt|it|se|no|dk|fi|is|pl|cz|sk|hu|ro|bg|gr|tr|ru|ua|jp|cn|k"
    "r|tw|hk|sg|my|th|vn|id|ph|br|mx|ar|cl|za|ng|ke|eg|il|ae|sa",
    re.IGNORECASE,
)


def emails(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of the addresses in `text`; what sticks to the end (`com2`, Markdown's `_`) does not hide one."""
    shapes = (HOST, *((IN_LINKS,) if "%40" in text else ()), *((SPELT,) if SIGN.search(text) else ()))
    for match in (match for shape in shapes for match in shape.finditer(text)):
        at, end = match.span()
        begin = text[max(0, at - LONGEST) : at][::-1]
        start = at - LOCAL.match(begin).end()  # pyright: ignore[reportOptionalMemberAccess]
        after = text[end : end + 1]
        odd = ".%+'-_" if after == "_" else ".%+'-"
        start += len(text[start:at]) - len(text[start:at].lstrip(odd))
        if start < at and (COMMON.fullmatch(match[1]) or not (after.isdecimal() or match.re is SPELT)):
            yield start, end


def may_have_one(text: str) -> bool:
    """Whether an address may stand in `text`."""
    return "@" in text or "%40" in text or SIGN.search(text) is not None or (not text.isascii() and "＠" in text)
