"""Telephone and identity numbers as people write them: what speaks for one, and what against."""

import re
import unicodedata

import pytest

from trimtab.guard import _tables, pii
from trimtab.guard._births import births
from trimtab.guard._digits import ascii_digits, small
from trimtab.guard._national import table


def what(text, **options):
    return [(span.kind, text[span.start : span.end]) for span in pii.find(text, **options)]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("it was registered on 655-751-5900x422", "655-751-5900x422"),
        ("I used to have (882)741-7304 but no longer", "(882)741-7304"),
        ("mon numéro est le 0722736592", "0722736592"),
        ("meu número é 32 2601-8159", "32 2601-8159"),
        ("il mio numero è 3365651597", "3365651597"),
        ("mein Nummer: Rufnummer 08778 932879", "08778 932879"),
        ("Mój numer to 887 746 370", "887 746 370"),
        ("mijn nummer is 050 7470344", "050 7470344"),
        ("số điện thoại 08 2284 2011", "08 2284 2011"),
        ("เบอร์ผม 082-531-5754", "082-531-5754"),
        ("T: 20650 14 481 | F: none", "20650 14 481"),
        ('{"phone": "15409931"}', "15409931"),
        ("Jane Doe\n12 High St\n0485-871 72\n", "0485-871 72"),
        ("it is Tom (047-43 41 58), we met", "047-43 41 58"),
        ("You can try 0961-7596216 after six.", "0961-7596216"),
        ("order (201) 555-0123", "(201) 555-0123"),
        ("1 (201) 555-0123", "1 (201) 555-0123"),
        ("0 (201) 555-0123", "(201) 555-0123"),
        ("(201) 555-6192  853 items", "(201) 555-6192"),
        ("Tel. 030 / 123 45 67", "030 / 123 45 67"),
        ("+49 30 / 1234 5678-9", "+49 30 / 1234 5678-9"),
        ("+49 (0)30 / 123456", "+49 (0)30 / 123456"),
        ("(415) 555-2671, ext. 402", "(415) 555-2671, ext. 402"),
        ("call 415-555-2671 extension 402 now", "415-555-2671 extension 402"),
    ],
)
def test_a_telephone_number_is_found_by_its_form_or_by_a_word(text, number):
    assert what(text) == [("PHONE", number)]


@pytest.mark.parametrize(
    "text",
    [
        "the period (1568-1609) and 1862-90",
        "gold between 28822-29380 and 27440/27230",
        "in the hotel 400 401 402 were free",
        "during 8000-10000 pounds",
        "we get d^2 = 27000/7000 = 3.86",
        "Google Chrome 92.0.4515.107",
        "Height: 0 25 50 75 100",
        "(15)(14)(13)(12)(11)",
        "masks 255.255.255.0 and 143.0.0.30.121",
        "x = 0.00333333(1 + 0.00333333)",
        "ticket 655-751-5900",
        "surface of 145000000 square km",
        "20 21 22 23 24 25",
    ],
)
def test_a_number_that_is_counted_reckoned_or_named_otherwise_is_none(text):
    assert what(text) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("4111 1111 1111 1111 12/27 123", [("CARD", "4111 1111 1111 1111")]),
        ("1 4111 1111 1111 1111", [("CARD", "4111 1111 1111 1111")]),
        ("4111 1111 1111 1111 5555 5555 5555 4444", [("CARD", "4111 1111 1111 1111"), ("CARD", "5555 5555 5555 4444")]),
        ("card number 4111 1111 1111 1112", [("CARD", "4111 1111 1111 1112")]),
        ("4111 1111 1111 1112", []),
        ("7 12 2001 2002 4111 1111 1111 1111 2003", [("CARD", "4111 1111 1111 1111")]),
        ("1998 2001 2002 2003 2004 2005 2006 2007", []),
        ("10 9 8 7 6 5 50 40 30 20 16 12 60 40 32", []),
    ],
)
def test_a_card_is_found_among_other_numbers(text, found):
    assert what(text) == found


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("US passport J04796669", "PASSPORT"),
        ("driver's license N321-5738-9110", "DRIVER_LICENSE"),
        ("990-95-4569 on the form", "US_ITIN"),
        ("NIP 863-64-69-608", "PL_NIP"),
        ("NIP 8636469608", "PL_NIP"),
        ("RG 05.333.653-7", "BR_RG"),
        ("Seguridad Social 038369007172", "ES_NUSS"),
        ("CUIT 20-16969535-1", "AR_CUIT"),
        ("RUT 56.340.744-1", "CL_RUT"),
        ("CNP 4750905249389", "RO_CNP"),
        ("OIB 38274906511", "HR_OIB"),
        ("teudat zehut 320501828", "IL_ID"),
        ("tax id 3051465702", "NATIONAL_ID"),
        ("주민등록번호 980215-1979190", "KR_RRN"),
        ("National Insurance ZZ 91 90 74 T", "GB_NINO"),
        ("Aadhaar: 7648 4756 4698", "IN_AADHAAR"),
    ],
)
def test_an_identity_number_is_found_by_its_name(text, kind):
    assert [found for found, _ in what(text)] == [kind]


@pytest.mark.parametrize(
    "text", ["a significant 123456789", "item 8636469608", "the manifest 320501828", "a must: 0123456789"]
)
def test_a_short_word_counts_only_where_it_stands_alone(text):
    assert what(text) == []


def test_every_checksum_of_the_table_is_one_that_there_is():
    for one in table().kinds:
        if one.checksum:
            __import__(f"stdnum.{one.checksum}")


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("see https://example.com/a?b=c.", "https://example.com/a?b=c"),
        ("(www.example.com)", "www.example.com"),
        ("Website:\nhttps://www.UEarly.se/\n", "https://www.UEarly.se/"),
    ],
)
def test_a_link_ends_before_the_sentence_does(text, link):
    assert what(text, urls=True) == [("URL", link)]
    assert what(text) == []


def test_a_number_begins_anew_behind_one_of_another_sort():
    assert what("853-37-1694 1 (201) 555-2878") == [("US_SSN", "853-37-1694"), ("PHONE", "1 (201) 555-2878")]
    iban, card = "GB82 WEST 1234 5698 7654 32", "4111 1111 1111 1111"
    assert what(f"{iban} 9 {card}") == [("IBAN", iban), ("CARD", card)]
    assert what(f"+44 20 7946 7963 0 {card} [")[-1] == ("CARD", card)


HELD = (
    "(201) 555-7226", "201-555-7226", "+1 (201) 555-7226", "+44 20 7946 0018", "4111 1111 1111 1111",
    "3782 822463 10005", "4111-1111-1111-1111", "853-37-1694", "GB82 WEST 1234 5698 7654 32", "16.244.11.141",
)  # fmt: skip
BEFORE = (
    "9 ", "919 ", "9๑9 ", "12345 ", "1 2 3 ", "123 456 ", "9.5 ", "1,234 ", "2024-01-02 ", "1) ", "7. ", "(9) ", "[9] ",
    "1,", "x,", "9|", "9\t", "9\n", "9\r\n", "9;", "9: ", "9\u00a0", "9\u202f", "9\u3000", "9\u200b", "\u202a", "漢",
    "é", "ж", "งาน", '["', "\\n", "\\t", "&nbsp;", "<td>", "9 / ", "9 – ", "1234 5678 ", "٣٤ ", "𝟗 ",
    *(f"{value} " for value in HELD),
)  # fmt: skip
BEHIND = (
    " 9", " 919", " 9๑9", " 12345", " 1 2 3", ", 9", ",x", "|9", "\t9", "\n9", "; 9", " (9)", "[9]", "\u00a09",
    "\u200b9", "\u202c", "漢", "é", "ж", "งาน", '","9"', "'}", "\\n", "</td>", " / 9", " – 9", " 10:30",
    *(f" {value}" for value in HELD),
)  # fmt: skip


def hidden(before, value, behind):
    """Whether every digit and letter of `value` is in a find of the text that they make."""
    begin = len(before)
    found = {at for span in pii.find(before + value + behind) for at in range(span.start, span.end)}
    return all(begin + at in found for at, char in enumerate(value) if char.isalnum())


@pytest.mark.parametrize("value", HELD)
def test_no_neighbour_hides_a_number(value):
    assert [left for left in BEFORE if not hidden(left, value, "")] == []
    assert [right for right in BEHIND if not hidden("", value, right)] == []
    assert [(left, right) for left in BEFORE for right in BEHIND[::5] if not hidden(left, value, right)] == []


@pytest.mark.parametrize("value", ["41\u200b11 1111 1111 1111", "+44\u200e20 7946\u200d0018", "853\u00ad-37-1694"])
def test_a_character_that_nobody_sees_does_not_hide_the_number_that_it_stands_in(value):
    assert hidden("x ", value, " y")


@pytest.mark.parametrize(
    "value", ["(201)\n555-7226", "4111 1111\n1111 1111", "(201)  555-7226", "4111  1111  1111  1111"]
)
def test_a_number_may_be_broken_at_the_end_of_a_line(value):
    assert hidden("x ", value, " y")


def test_no_digit_of_a_number_is_left_where_two_readings_share_some():
    assert hidden("2024 ", "201 555 7226", "")
    assert hidden("2024 ", "01 42 68 53 00", "")


def test_digits_of_all_scripts_are_digits():
    zeros = [chr(code) for code in range(0x80, 0x110000) if unicodedata.decimal(chr(code), None) == 0]
    assert [f"{ord(zero):x}" for zero in zeros if ascii_digits(zero) != "0"] == []


@pytest.mark.parametrize(
    "text",
    [
        "&#1041204; text", "caller_20260120 ToolCaller20260120", "0737718153d5faabeb51f554b", "0.4111111111111111",
        "a4111111111111111b", "0 0.22 0.206 0.244 2.25 1.23", "1.0048 1.62 0.02250", "5 -0.202253542 6",
    ],
)  # fmt: skip
def test_a_part_of_a_word_or_of_a_fraction_is_none(text):
    assert what(text) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("IBAN: ES91-2100-0418-4502-0005-1332.", ("IBAN", "ES91-2100-0418-4502-0005-1332")),
        ("IBAN DE 89 3704 0044 0532 0130 00", ("IBAN", "DE 89 3704 0044 0532 0130 00")),
        ("card: 4111.1111.1111.1111", ("CARD", "4111.1111.1111.1111")),
        ("DNI 12.345.678-Z", ("ES_DNI", "12.345.678-Z")),
        ("my account number is 55779911", ("BANK_ACCOUNT", "55779911")),
        ("Kontonummer 532013000", ("BANK_ACCOUNT", "532013000")),
        ("sort code 20-00-00", ("SORT_CODE", "20-00-00")),
        ("Patient, MRN 00482913", ("MEDICAL_RECORD", "00482913")),
        ("Medicare 1EG4-TE5-MK73", ("US_MBI", "1EG4-TE5-MK73")),
        ("Medicare 2123 45670 1", ("AU_MEDICARE", "2123 45670 1")),
        ("VIN 1HGCM82633A004352", ("VIN", "1HGCM82633A004352")),
        ("passport number C01X00T47", ("PASSPORT", "C01X00T47")),
        ("card code: cvv 123", ("CARD", "123")),
        ('{"cvc": "1234"}', ("CARD", "1234")),
        ("The security code is 987.", ("CARD", "987")),
        ("mail jane.doe [at] example.com please", ("EMAIL", "jane.doe [at] example.com")),
        ("jane (at) mail (dot) example (dot) com", ("EMAIL", "jane (at) mail (dot) example (dot) com")),
        ("max[ät]firma[punkt]de", ("EMAIL", "max[ät]firma[punkt]de")),
        ("https://a.example/reset?email=jane%40example.com&t=1", ("EMAIL", "jane%40example.com")),
    ],
)
def test_what_is_written_otherwise_is_found(text, found):
    assert what(text) == [found]


@pytest.mark.parametrize(
    "text",
    [
        "Meet (at) noon.today and look [at] this.thing", "50%40 a", "error code 123", "security code 2024-05",
        "the cvv field has 3 digits, 12345 is none", "passport photos of 35x45mm", "1/2 / 3/4 / 5/6 / 7/8",
        "the years 1990 / 1995 / 2000", "an account number has 8 to 12 digits", "12.345.678-A", "20-00-00",
        "The commit 1HGCM82633A004352", "on account of 12345678 reasons", "4111.1111.1111.1112",
    ],
)  # fmt: skip
def test_what_only_looks_like_that_is_none(text):
    assert what(text) == []


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("I was born on 12/03/1985.", "12/03/1985"),
        ("dob: 3/12/85", "3/12/85"),
        ('{"dateOfBirth": "1985-03-12T00:00:00Z"}', "1985-03-12"),
        ("Date of birth (dd/mm/yyyy): 12/03/1985", "12/03/1985"),
        ("Born: March 12th, 1985", "March 12th, 1985"),
        ("Jane Doe (12/03/1985, DOB)", "12/03/1985"),
        ("geb. 12. 3. 1985", "12. 3. 1985"),
        ("geboren am 12. März 1985", "12. März 1985"),
        ("née le 3 mai 1990", "3 mai 1990"),
        ("nacida el 12 de marzo de 1985", "12 de marzo de 1985"),
        ("sinh ngày 12 tháng 3 năm 1985", "12 tháng 3 năm 1985"),
        ("родился 12 марта 1985", "12 марта 1985"),
        ("生年月日：１９８５年３月１２日", "１９８５年３月１２日"),
        ("วันเกิด ๑๒/๐๓/๒๕๒๘", "๑๒/๐๓/๒๕๒๘"),
        ("تاريخ الميلاد 12/03/1985", "12/03/1985"),
    ],
)
def test_a_date_of_birth_is_one_by_a_word_beside_it(text, date):
    assert [text[start:end] for start, end in births(small(ascii_digits(text)))] == [date]


@pytest.mark.parametrize(
    "text",
    [
        "Meeting on 12/03/2024 about the newborn ward.", "I was born in 1985 and moved on 12/03/2001.",
        "She was born. The meeting is on 12/03/2024.", "version 1.2.2024", "We ship on 12 March 2025.",
    ],
)  # fmt: skip
def test_another_date_is_none(text):
    assert not list(births(small(ascii_digits(text))))


ROWS = ("2125550123", "2125550124", "2125550125", "2125550126")
TABLES = {
    "CSV": "name,phone,order\n" + "".join(f"A,{one},10020030\n" for one in ROWS),
    "CSV with quotes": 'phone;name\r\n' + "".join(f'"{one}";"A; B"\r\n' for one in ROWS),
    "CSV with empty cells": "name,phone,note\n" + "".join(f",{one},\n" for one in ROWS),
    "tabs": "name\tphone_number\n" + "".join(f"A\t{one}\n" for one in ROWS),
    "Markdown": "| name | phone |\n|:---|---:|\n" + "".join(f"| A | {one} |\n" for one in ROWS),
}  # fmt: skip


@pytest.mark.parametrize("text", TABLES.values(), ids=TABLES)
def test_the_head_of_a_column_speaks_for_all_of_its_cells(text):
    found = [number for kind, number in what(text) if kind == "PHONE"]
    assert [one for one in found if one in ROWS] == [*ROWS]


def test_a_column_with_another_head_is_no_telephone_s():
    rows = "".join(f"A,{one},1\n" for one in ROWS)
    assert what(f"name,amount_in_cents,n\n{rows}") == []


def test_numbers_in_a_column_far_below_its_head_are_found():
    text = "id,passport\n" + "".join(f"{n},5333{n:05}\n" for n in range(2000))
    assert [kind for kind, _ in what(text)] == ["PASSPORT"] * 2000


def test_heads_that_have_no_rows_are_not_each_held_against_all_lines(monkeypatch):
    lines = [f"phone{',' * (200 - 2 * at)}\n9999{',' * (201 + 2 * at)}" for at in range(100)]
    read, cells = [], _tables._cells
    monkeypatch.setattr(_tables, "_cells", lambda line, sign: read.append(line) or cells(line, sign))
    assert _tables.columns("\n".join(lines), re.compile("phone")) == []
    assert 100 < len(read) < 1000


def test_a_sentence_is_no_head_and_is_not_repeated_for_each_cell():
    text = f"phone {'x' * 60},n\n" + "12345678,1\n" * 50
    assert _tables.columns(text, re.compile("phone")) == []
    assert len(_tables.columns(text.replace("x" * 60, "x" * 50), re.compile("phone"))) == 1


@pytest.mark.parametrize("text", ['{"account_number": "55779911"}', "accountNumber=55779911"])
def test_a_word_may_be_written_as_programs_do(text):
    assert what(text) == [("BANK_ACCOUNT", "55779911")]
