"""Personal numbers among whatever else: no neighbour hides one, in whole or in part."""

from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.guard import pii

VALUES = (
    "(201) 555-7226", "415-555-0132", "+1 646 555 0188", "+44 20 7946 0018", "4111 1111 1111 1111", "3782 822463 10005",
    "5555-5555-5555-4444", "853-37-1694", "GB82 WEST 1234 5698 7654 32", "16.244.11.141", "jane.doe@example.com",
)  # fmt: skip
DIGITS = "0123456789٠١٢٣๐๑๒３４५६"
JUNK = st.text(DIGITS, min_size=1, max_size=6) | st.sampled_from(
    [
        "9.5",
        "1,234",
        "12 34 5",
        "1 2 3",
        "2024-05-16",
        "10:30",
        "3/4",
        "1990-1995",
        "9%",
        "(3)",
        "[4]",
        "งาน",
        "電話",
        "a",
    ]
)
SIGNS = (
    " ", "  ", "\n", "\t", ", ", "; ", ": ", "\u00a0", "\u202f", "\u3000", "\r\n", " | ", "|", " - ", " – ", " / ",
    " (", ") ", " [", "] ", '", "', "','", " = ", "\u200b ", "<br>", "</td><td>", "\u2028", "\\n", "、", "。",
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(JUNK | st.sampled_from(VALUES), min_size=1, max_size=6), st.data())
def test_no_neighbour_hides_a_number(parts, data):
    text = "".join(part + data.draw(st.sampled_from(SIGNS)) for part in parts)
    found = {at for span in pii.find(text) for at in range(span.start, span.end)}
    begin = 0
    for part in parts:
        begin = text.index(part, begin)
        missed = [char for at, char in enumerate(part) if char.isalnum() and begin + at not in found]
        assert part not in VALUES or not missed
        begin += len(part)
