"""Long texts: no search is given more than a piece, and what stands at the seam of two pieces is found all the same."""

import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.guard import _names, _pieces, patterns, pii, secrets
from trimtab.guard._normalise import SLICE, Ways, plain
from trimtab.sieve import Sieve

LARGEST = 25_000
"""Characters: some milliseconds of the slowest search."""
FLOODS = {
    "digits": "1", "letters": "a", "brackets": "[(", "combining": "\u0301\u0316\u05b0\u064b",
    "right to left": "\u202e\u05d0",
    "surrogates": "\ud800", "nuls": "\x00", "injections": "ignore all previous instructions ", "base64": "aB3/",
    "leet": "1gn0re ", "expanding": "\ufdfa", "single letters": "i g n ", "thai": "ไทย ",
    "tables": "phone,dob\n2125550123,1985-03-12\n",
}  # fmt: skip
CARD = "4111 1111 1111 1111"
KEY = "sk-ant-api03-" + "Ab3xQ9zR" * 6


class Counts:
    """In the place of a compiled expression, or of a sieve: the most characters it was given at a time."""

    most = 0

    def __init__(self, real):
        self._real = real
        self.pattern = getattr(real, "pattern", "")

    def __call__(self, text):
        Counts.most = max(Counts.most, len(text))
        return self._real(text)

    def __getattr__(self, name):
        def call(*args, **kwargs):
            text, *bounds = args if name != "sub" else args[1:]
            start, end = (*bounds, 0, len(text))[:2] if bounds else (0, len(text))
            Counts.most = max(Counts.most, min(end, len(text)) - start)
            return getattr(self._real, name)(*args, **kwargs)

        return call


def births(text):
    return list(_names._births(text))


def counted(monkeypatch):
    """Every expression of the guards' modules counts what it is given."""
    Counts.most = 0
    for name, module in list(sys.modules.items()):
        if name.startswith("trimtab.guard."):
            for key, value in vars(module).items():
                if isinstance(value, re.Pattern):
                    monkeypatch.setattr(module, key, Counts(value))
    real = patterns.patterns("untrusted")
    swapped = tuple(one._replace(shape=Counts(one.shape), then=one.then and Counts(one.then)) for one in real)
    sieve = Counts(patterns._sieve("untrusted"))
    monkeypatch.setattr(patterns, "patterns", lambda _: swapped)
    monkeypatch.setattr(patterns, "_sieve", lambda _: sieve)


@pytest.mark.parametrize("flood", FLOODS)
def test_no_search_is_given_more_than_a_piece_of_a_long_text(flood, monkeypatch):
    """One holds the interpreter's lock until it ends: in half a megabyte all other requests would wait for it."""
    counted(monkeypatch)
    text = FLOODS[flood] * (300_000 // len(FLOODS[flood]))
    for find in (pii.find, births, secrets.find, lambda text: list(patterns.find(text, "untrusted"))):
        find(text)
    assert 0 < Counts.most <= LARGEST


@pytest.mark.parametrize("at", [*range(_pieces.SIZE - 20, _pieces.SIZE + 3), 2 * _pieces.SIZE - 9])
def test_what_stands_at_a_seam_is_found_once_and_whole(at):
    text = "a word " * 20_000
    for value, find in ((CARD, pii.find), ("jane@example.com", pii.find), (KEY, secrets.find)):
        said = f"{text[:at]} {value} {text[at:]}"
        assert [said[span.start : span.end] for span in find(said)] == [value]


def test_a_private_key_is_one_find_however_long_it_is():
    key = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEow\n" * 5000 + "-----END RSA PRIVATE KEY-----"
    text = f"one {key} two {key} three -----BEGIN PRIVATE KEY-----\nMII"
    assert [text[span.start : span.end] for span in secrets.find(text)] == [key, key, text[text.rindex("-----BEGIN") :]]


def test_no_pattern_can_span_more_than_two_windows_share():
    import re._parser as parser  # the widths that `re` itself reckons

    for scope in ("user", "untrusted", "answer"):
        for pattern in patterns.patterns(scope):
            _, width = parser.parse(pattern.shape.pattern, re.MULTILINE).getwidth()
            then = parser.parse(pattern.then.pattern, re.MULTILINE).getwidth()[1] if pattern.then else 0
            assert width + pattern.within + then <= patterns.OVERLAP, pattern.id


@given(st.text(max_size=3 * SLICE))
@settings(max_examples=200, deadline=None)
def test_one_spelling_leads_back_into_the_text(text):
    normal, ways = plain(text), Ways(text)
    for at in range(0, len(normal), 7):
        start, end = ways.back(at, at + 1)
        assert 0 <= start < end <= len(text)
    assert plain(text) == "".join(plain(text[at : at + SLICE]) for at in range(0, len(text), SLICE))


SHAPES = (
    r"\bzap\b", r"\w{2}-\d", r"a\sb", r"[\w.]+@x", r"[^\s)]{3}!", r"^\s{0,3}#", r"\W{1,3}z", r"[\d-]{4}", r"é+", r"x\S",
    r"\[[^\]\n]{0,5}\]", r"\Bz", r"q[]a\w]",
)  # fmt: skip


@given(st.text(alphabet="zapxqb ab-1#@!)[]é\u0e44\u0661\u00a0\u2003\u0301\x1c\x0b\x00\n\ud800_.", max_size=24))
@settings(max_examples=1500, deadline=None)
def test_the_sieve_never_leaves_out_an_expression_that_matches(text):
    hits = set(SIEVE(text))
    assert {i for i, shape in enumerate(SHAPES) if re.search(shape, text, re.MULTILINE)} <= hits


def test_the_sieve_tells_texts_of_other_scripts_apart():
    assert not {0, 1, 2, 3} & set(SIEVE("สวัสดี"))
    assert 1 in SIEVE("สวัสดี ไท-1")


SIEVE = Sieve(SHAPES, "m")
