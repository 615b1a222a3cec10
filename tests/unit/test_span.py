"""The span head: pairs that say where they stand, spans inside their text, the same in any batch, and clear errors."""

import asyncio
import json
import shutil

import numpy as np
import pytest

from trimtab.encode.encoder import BESIDE, HOME, SPAN, Encoder
from trimtab.encode.pairs import MARKS, MATCHED, QUESTION, asked, pair, pairs, worded
from trimtab.encode.sealed import opened
from trimtab.encode.span import LONGEST, SpanHead, likeliest
from trimtab.errors import ConfigError

TEXT = "The Normans were led by Rollo. They swore fealty to King Charles III in 911. Normandy is in France."
ODD = ["", " \n", "x\ud800y", "ไทย ภาษา", "我的信用卡。好", "\x00a\x07b", "e" + "\u0301" * 500, "w" * 5000, "()[]{}!?"]


@pytest.fixture(scope="module")
def encoder():
    loaded = Encoder.load()
    yield loaded
    loaded.close()


@pytest.fixture
def pieces(encoder):
    return encoder.pieces


# --- pairs ----------------------------------------------------------------------------------------------------------


def test_a_pair_is_question_and_window_with_marks_between(pieces):
    made = pair(asked("Who led the Normans?", pieces), worded(TEXT, pieces), pieces)
    cut = [at for at, id_ in enumerate(made.ids) if id_ == pieces.sep]
    assert made.ids[0] == pieces.cls
    assert cut == [made.first - 1, len(made) - 1]
    assert made.ids[1 : cut[0]] == pieces.ids("Who led the Normans?")
    assert made.ids[made.first : -1] == pieces.ids(TEXT)
    assert len(made.marks) == len(made)
    assert made.marks.max() < MARKS


def test_marks_say_which_words_stand_on_the_other_side(pieces):
    made = pair(asked("Who leads the Normans now?", pieces), worded("The Norman leads.", pieces), pieces)
    shapes = MARKS // (2 * len(MATCHED))
    kinds = {pieces.ids(word)[0]: None for word in ("who", "leads", "the", "now")}
    for id_, mark in zip(made.ids[1 : made.first - 1], made.marks[1:], strict=False):
        if id_ in kinds and kinds[id_] is None:
            kinds[id_] = MATCHED[int(mark) // shapes]
    assert list(kinds.values()) == ["no", "word", "stop word", "no"]
    assert all(int(mark) // shapes >= len(MATCHED) for mark in made.marks[made.first : -1])


def test_a_long_question_keeps_its_end(pieces):
    words = asked("well " * 200 + "who led the Normans?", pieces)
    assert sum(len(word.ids) for word in words) == QUESTION
    assert [id_ for word in words[-5:] for id_ in word.ids] == pieces.ids("who led the Normans?")


def test_windows_are_complete_in_order_and_where_they_say(pieces):
    text = TEXT + " " + " ".join(f"Sentence {n} tells of ships, and of the sea." for n in range(60))
    found = list(pairs(asked("Who?", pieces), text, pieces, BESIDE))
    assert len(found) > 3
    assert [id_ for made in found for id_ in made.ids[made.first : -1]] == pieces.ids(text)
    assert all(len(made.starts) <= BESIDE for made in found)
    for made in found:
        assert (made.starts < made.ends).all()
        assert text[made.starts[0] : made.ends[-1]].strip()


# --- the likeliest span ---------------------------------------------------------------------------------------------


def test_the_likeliest_span_is_in_the_window_forwards_and_short(pieces):
    drawn = np.random.default_rng(3)
    text = "word " * 60
    made = pair(asked("Who?", pieces), worded(text, pieces), pieces)
    for _ in range(200):
        ends = drawn.normal(size=(len(made), 2)).astype(np.float32) * 5
        ends[:4] += 100  # the question's pieces are never an answer
        span = likeliest(made, ends, np.float32(0))
        assert 0 <= span.start < span.end <= len(text)
        assert (span.end - span.start + 1) / 5 <= LONGEST
        best = max(
            ends[made.first + a, 0] + ends[made.first + b, 1]
            for a in range(60) for b in range(a, min(60, a + LONGEST))
        )  # fmt: skip
        assert span.lead == pytest.approx(best - ends[0].sum(), rel=1e-4)


# --- with the shipped head ------------------------------------------------------------------------------------------


async def test_it_finds_answers_and_prefers_the_text_that_has_one(encoder):
    span, other = await encoder.span(
        "Who led the Normans?", [TEXT, "Bread is made of flour. It is baked in an oven at night."]
    )
    assert "Rollo" in TEXT[span.start : span.end]
    assert span.lead > other.lead + 1


async def test_a_span_does_not_depend_on_what_else_is_read(encoder):
    texts = [TEXT, TEXT * 8, "Rollo.", "When? In 911."]
    together = await encoder.span("When did they swear fealty?", texts)
    alone = [(await encoder.span("When did they swear fealty?", [text]))[0] for text in texts]
    mixed, _, _ = await asyncio.gather(
        encoder.span("When did they swear fealty?", texts), encoder.embed([TEXT] * 3), encoder.read([TEXT])
    )
    for a, b, c in zip(together, alone, mixed, strict=True):
        assert a[:2] == b[:2] == c[:2]
        assert a.lead == pytest.approx(b.lead, abs=1e-3)
        assert a.here == pytest.approx(c.here, abs=1e-3)


async def test_odd_texts_give_a_span_inside_or_none(encoder):
    for text, span in zip(ODD, await encoder.span("Who \ud800 led the Normans?", ODD), strict=True):
        assert (span is None) == (not encoder.tokens(text)), ascii(text[:20])
        if span:
            assert 0 <= span.start < span.end <= len(text)
    assert await encoder.span("", [TEXT]) != [None]


async def test_embeddings_are_read_beside_spans_and_stay_the_same(encoder):
    before = await encoder.embed([TEXT])
    await asyncio.gather(encoder.span("Who?", [TEXT] * 5), encoder.embed([TEXT]))
    assert np.array_equal(before, await encoder.embed([TEXT]))


async def test_without_a_span_head_it_says_so(tmp_path):
    bare = Encoder.load(HOME)
    try:
        assert not bare.spans
        with pytest.raises(ConfigError, match="no span head"):
            await bare.span("Who?", [TEXT])
    finally:
        bare.close()


def test_a_changed_head_is_refused(tmp_path):
    copied = shutil.copytree(SPAN, tmp_path / "span")
    content = bytearray((copied / "branch.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (copied / "branch.onnx").write_bytes(content)
    with pytest.raises(ConfigError, match="not the file that was sealed") as caught:
        SpanHead.load(copied)
    assert "runs/span.sh" in caught.value.fix


def test_the_manifest_keeps_the_attribution_and_fits_the_encoder():
    manifest = opened(SPAN, ["branch.onnx"], "")
    assert "SQuAD" in manifest["data"]
    assert "CC BY-SA 4.0" in manifest["licence"]
    assert manifest["files"]["branch.onnx"]["bytes"] < 8_000_000
    encoder = json.loads((HOME / "manifest.json").read_text())["files"]
    assert manifest["encoder_sha256"]["lower.onnx"] == encoder["lower.onnx"]["sha256"]
    card = (SPAN / "CARD.md").read_text("utf-8")
    assert "CC BY-SA 4.0" in card
    assert "Rajpurkar" in card
