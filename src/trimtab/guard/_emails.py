"""E-mail addresses: found by their @, then read forwards and backwards, which is linear in any text."""

import re
from collections.abc import Iterator

HOST = re.compile(r"@\w[\w.-]{0,189}\.([^\W\d_]{2,24})")
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
    for match in HOST.finditer(text):
        at, end = match.span()
        begin = text[max(0, at - LONGEST) : at][::-1]
        start = at - LOCAL.match(begin).end()  # pyright: ignore[reportOptionalMemberAccess]
        after = text[end : end + 1]
        odd = ".%+'-_" if after == "_" else ".%+'-"
        start += len(text[start:at]) - len(text[start:at].lstrip(odd))
        if start < at and not (after.isdecimal() and not COMMON.fullmatch(match[1])):
            yield start, end
