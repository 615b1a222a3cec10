"""Dates of birth: a day with its year, and beside it a word for being born.

A day alone is anybody's. The words are those of forms and letters in some thirty languages.
"""

import re
from collections.abc import Iterator

YEAR = re.compile(r"[12](?<![0-9].)(?:9|0|(?<=2)5)[0-9]{2}(?![0-9])|[0-9][./-][0-9]{2}(?![0-9])")
"""What every date has: a year, of the Buddhist era too, or two digits for it."""
FULL = r"(?:19|20|25)[0-9]{2}"
DAY = r"[0-3]?[0-9]"
MONTH = r"[^\W\d_]{3,12}"
DATE = re.compile(
    rf"(?<![0-9])(?:{FULL}([-/.] ?)(?:0?[1-9]|1[0-2])\1{DAY}"
    rf"|{DAY}([-/.] ?){DAY}\2(?:{FULL}|[0-9]{{2}})"
    rf"|{FULL} ?年 ?[01]?[0-9] ?月 ?{DAY} ?日|{FULL}년 ?[01]?[0-9]월 ?{DAY}일"
    rf"|{DAY}(?:st|nd|rd|th|er|\.|º)?[ \-](?:of |de |ngày |tháng )?{MONTH}[.,]?[ \-](?:of |de |del )?{FULL}"
    rf"|{DAY} tháng [01]?[0-9] năm {FULL}"
    rf"|(?<![^\W_]){MONTH}\.? {DAY}(?:st|nd|rd|th)?,? {FULL})(?![0-9])"
)
WORD = re.compile(
    r"birth|(?<![^\W_])(?:born|(?:d\.?o\.?b|geb)\.?)(?![^\W_])|gebor|geburt|nacimiento|(?<![^\W_])nac(?:í|i[óo]|id[oa])|naissance"
    r"|(?<![^\W_])née? (?:le|en)|nascita|(?<![^\W_])nat[oa] (?:il|l'|a )|nascimento|nascid[oa]|geboort|urodz|födel|född"
    r"|født|fødsel|syntym|doğum|рожд|родил|γεννη|szület|nașter|naroz|生年月日|誕生|出生|生日|생년월일|생일"
    r"|ngày sinh|sinh ngày|วันเกิด|เกิดวัน|เกิดเมื่อ|الميلاد|مواليد|ولدت|जन्म"
)
AFTER = re.compile(r"[\s(,]{1,3}(?:d\.?o\.?b|date of birth|geboren)(?![^\W_])|[ (]{0,2}(?:生まれ|생(?![^\W_]))")
BEFORE = 40
"""Characters before a date in which the word stands."""
PARTS = re.compile(r"[.!?]\s|\n\s*\n|[0-9]")
"""Between the word and its date there is none of these: no other sentence, and no other number."""


def births(low: str) -> Iterator[tuple[int, int]]:
    """(start, end) of the dates of birth in a text in lower case."""
    for match in DATE.finditer(low) if YEAR.search(low) else ():
        start, end = match.span()
        before = low[max(0, start - BEFORE) : start]
        word = max((one.end() for one in WORD.finditer(before)), default=-1)
        if (word >= 0 and not PARTS.search(before, word)) or AFTER.match(low, end):
            yield start, end
