"""Documents in the index: taken up by content, dropped when gone, for their readers alone; PDF, DOCX; the mix."""

import importlib.util
import io
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab import testing
from trimtab.encode.encoder import Encoder
from trimtab.errors import ConfigError
from trimtab.retrieve import _calibrate, _fusion, _load, _office, _open, _search, _terms, hybrid
from trimtab.retrieve._fusion import Legs, Mix
from trimtab.retrieve._index import ADDED, RECIPE, Card, Piece
from trimtab.retrieve._library import Library
from trimtab.retrieve._sqlite import Sqlite
from trimtab.retrieve._unreadable import UnreadableError


def has(module):
    return importlib.util.find_spec(module) is not None


@pytest.fixture(scope="module")
def encoder():
    loaded = Encoder.load()
    yield loaded
    loaded.close()


async def off(work, *given):
    return work(*given)


@pytest.fixture
def library(tmp_path, encoder):
    (tmp_path / "d").mkdir()
    index = Sqlite(None, encoder.dims)
    yield Library(index, lambda: encoder, tmp_path, off, size=1200, overlap=200)
    index.close()


# --- what is taken up, and what is dropped --------------------------------------------------------------------------


async def test_only_what_changed_is_read_again_and_what_is_gone_is_dropped(library, tmp_path):
    for name in "abc":
        (tmp_path / "d" / f"{name}.txt").write_text(f"The page {name}.")
    assert (await library.take("d")).added == ["d/a.txt", "d/b.txt", "d/c.txt"]
    (tmp_path / "d" / "b.txt").write_text("Another page.")
    (tmp_path / "d" / "c.txt").unlink()
    report = await library.take("d")
    assert (report.unchanged, report.changed, report.removed) == (["d/a.txt"], ["d/b.txt"], ["d/c.txt"])
    assert library.index.words("c", 5, None) == {}
    (tmp_path / "d" / "c.txt").write_text("Another page.")
    assert (await library.take("d")).same == [("d/c.txt", "d/b.txt")]
    (tmp_path / "d" / "b.txt").unlink()
    report = await library.take("d")
    assert (report.removed, report.added) == (["d/b.txt"], ["d/c.txt"]), "the twin takes its place"


async def test_a_file_that_breaks_is_told_its_old_text_dropped_and_the_rest_goes_on(library, tmp_path, monkeypatch):
    monkeypatch.setattr(_load, "MAX_BYTES", 1000)
    for name in "abcd":
        (tmp_path / "d" / f"{name}.txt").write_text(f"The page {name}.")
    await library.take("d")
    (tmp_path / "d" / "a.txt").write_bytes(b"caf\xe9")
    (tmp_path / "d" / "b.txt").write_text("x" * 1001)
    (tmp_path / "d" / "d.txt").write_text("The last page.")
    report = await library.take("d")
    assert [(file.rpartition("/")[2], why.partition(";")[0]) for file, why in report.failed] == [
        ("a.txt", "it is not UTF-8 text (byte 3)"), ("b.txt", "it is larger than 0 MB"),
    ]  # fmt: skip
    assert report.changed == ["d/d.txt"]
    assert set(library.index.cards()) == {"d/c.txt", "d/d.txt"}


async def test_a_file_of_200_mb_is_refused_without_being_read_whole(library, tmp_path):
    with (tmp_path / "d" / "big.txt").open("wb") as big:
        big.truncate(200_000_000)
    report = await library.take("d")
    assert "larger than 20 MB" in report.failed[0][1]


async def test_a_document_that_is_deleted_while_being_read_is_told(library, tmp_path, monkeypatch):
    (tmp_path / "d" / "a.txt").write_text("alpha")
    (tmp_path / "d" / "b.txt").write_text("beta")
    raw = _load.raw

    def racing(file):
        (tmp_path / "d" / "a.txt").unlink(missing_ok=True)
        return raw(file)

    monkeypatch.setattr(_load, "raw", racing)
    report = await library.take("d")
    assert "deleted while" in report.failed[0][1]
    assert report.added == ["d/b.txt"]


async def test_a_parser_that_fails_in_an_unforeseen_way_costs_one_document(library, tmp_path, monkeypatch):
    (tmp_path / "d" / "a.html").write_text("<p>alpha")
    (tmp_path / "d" / "b.txt").write_text("beta")
    monkeypatch.setattr(_load, "Page", lambda _: 1 / 0)
    report = await library.take("d")
    assert "ZeroDivisionError" in report.failed[0][1]
    assert report.added == ["d/b.txt"]


async def test_another_size_cuts_everything_anew(library, tmp_path, encoder):
    (tmp_path / "d" / "a.txt").write_text("A sentence on boats. " * 50)
    await library.take("d")
    before = library.index.cards()["d/a.txt"].chunks
    smaller = Library(library.index, lambda: encoder, tmp_path, off, size=300, overlap=50)
    assert (await smaller.take("d")).changed == ["d/a.txt"]
    assert library.index.cards()["d/a.txt"].chunks > before


async def test_chunks_are_slices_of_the_text_that_read_gives(library, tmp_path):
    file = tmp_path / "d" / "p.html"
    file.write_text("<h1>Port</h1>" + "<p>The ships may enter the port at <b>high</b> tide &amp; leave.</p>" * 80)
    await library.take("d")
    text = _load.read(file, tmp_path).text
    found = library.index.sample("english", 99)
    assert len(found) > 2
    assert all(text[piece.start : piece.end] == piece.text for _, piece in found)


# --- whose they are -------------------------------------------------------------------------------------------------


async def test_readers_stay_when_a_path_is_read_again_and_new_files_get_them(library, tmp_path):
    (tmp_path / "d" / "a.txt").write_text("The merger of the banks.")
    await library.take("d", readers=("alice",))
    (tmp_path / "d" / "b.txt").write_text("The merger, again.")
    await library.take("d")
    assert {card.readers for card in library.index.cards().values()} == {("alice",)}
    assert library.index.words("merger", 5, "bob") == {}
    await library.take("d", readers=("*",))
    assert len(library.index.words("merger", 5, "bob")) == 2


async def test_a_recipe_path_does_not_open_what_a_person_has_closed(library, tmp_path):
    (tmp_path / "d" / "a.txt").write_text("The merger of the banks.")
    await library.take("d", readers=("alice",))
    await library.recipe(["d"])
    card = library.index.cards()["d/a.txt"]
    assert (card.origin, card.readers) == (ADDED, ("alice",))


async def test_a_path_that_the_recipe_no_longer_has_is_dropped(library, tmp_path):
    (tmp_path / "d" / "a.txt").write_text("alpha")
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "b.txt").write_text("beta")
    await library.recipe(["d", "e"])
    assert {card.origin for card in library.index.cards().values()} == {RECIPE}
    report = await library.recipe(["e"])
    assert report.removed == ["d/a.txt"]
    assert set(library.index.cards()) == {"e/b.txt"}


async def test_the_retriever_minds_the_principal_and_finds_what_is_added_while_it_runs(tmp_path, encoder):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.txt").write_text("The merger of the banks is planned for May.")
    tools = testing.tools(tmp_path / "home", name="hybrid", recipe=tmp_path, encoder=lambda: encoder)
    retriever = hybrid.build(hybrid.Options(), tools)
    await retriever.start()
    beside = _open.opened("auto", tmp_path / "home", encoder.dims, lambda _: None)
    more = Library(beside, lambda: encoder, tmp_path, off, size=1200, overlap=200)
    await more.take("d", readers=("alice",))
    await more.learn()
    for principal, count in (("alice", 1), ("bob", 0), ("local", 0)):
        found = await retriever.retrieve(testing.ask("When is the merger?", principal=principal))
        assert len(found.passages) == count, principal
    beside.drop(["d/a.txt"])
    assert (await retriever.retrieve(testing.ask("merger", principal="alice"))).passages == ()
    beside.close()
    await retriever.close()


# --- PDF and DOCX ---------------------------------------------------------------------------------------------------


def pdf(*pages):
    """A PDF by hand, with a line of text on each page."""
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    parts = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
             "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]  # fmt: skip
    for i, text in enumerate(pages):
        fonts = "/Resources << /Font << /F1 3 0 R >> >>"
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
        parts += [f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * i} 0 R {fonts} >>",
                  f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream"]  # fmt: skip
    body, places = "%PDF-1.4\n", []
    for number, part in enumerate(parts, 1):
        places.append(len(body))
        body += f"{number} 0 obj\n{part}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    end = f"trailer << /Size {len(parts) + 1} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF"
    return f"{body}xref\n0 {len(parts) + 1}\n0000000000 65535 f \n{table}{end}".encode()


@pytest.mark.skipif(not has("pypdf"), reason="the extra trimtab[docs] is not installed")
async def test_a_pdf_is_cut_at_its_pages(library, tmp_path):
    (tmp_path / "d" / "tides.pdf").write_bytes(pdf("The tide is high at six.", "The pilot boards at seven."))
    assert (await library.take("d")).failed == []
    (passage,) = library.index.passages(library.index.words("pilot", 1, None), None)
    assert passage.title == "tides > page 2"
    text = _load.read(tmp_path / "d" / "tides.pdf", tmp_path).text
    assert text[passage.start : passage.end] == passage.text == "The pilot boards at seven."


@pytest.mark.skipif(not has("pypdf"), reason="the extra trimtab[docs] is not installed")
@pytest.mark.parametrize("content", [b"", b"%PDF-1.4 broken", pdf("a")[:200], b"%PDF-1.7\n" + b"\0" * 2000, pdf("")])
def test_a_broken_or_empty_pdf_is_a_clear_error(content, tmp_path):
    (tmp_path / "x.pdf").write_bytes(content)
    with pytest.raises(UnreadableError, match=r"broken pdf|no text in it; a scan needs OCR"):
        _load.read(tmp_path / "x.pdf", tmp_path)


@pytest.mark.skipif(not has("docx"), reason="the extra trimtab[docs] is not installed")
async def test_a_docx_is_cut_at_its_headings_and_its_tables_are_rows(library, tmp_path):
    import docx

    made = docx.Document()
    made.core_properties.title = "The port"
    made.add_heading("Fees", 1)
    made.add_paragraph("A berth costs twelve euros.")
    table = made.add_table(1, 2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "crane", "forty tonnes"
    made.add_heading("Pilots", 2)
    made.add_paragraph("They board at the buoy.")
    made.save(tmp_path / "d" / "port.docx")
    assert (await library.take("d")).failed == []
    (pilots,) = library.index.passages(library.index.words("buoy", 1, None), None)
    assert pilots.title == "The port > Fees > Pilots"
    (fees,) = library.index.passages(library.index.words("crane", 1, None), None)
    assert "crane | forty tonnes" in fees.text


@pytest.mark.skipif(not has("docx"), reason="the extra trimtab[docs] is not installed")
def test_a_docx_that_is_none_or_a_bomb_is_a_clear_error(monkeypatch):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("word/document.xml", "x" * 5000)
    for content in (b"", b"not a zip", packed.getvalue()):
        with pytest.raises(UnreadableError, match="broken docx"):
            _office.text(content, "docx")
    monkeypatch.setattr(_office, "MAX_UNPACKED", 1000)
    with pytest.raises(UnreadableError, match="unpacks to more than"):
        _office.text(packed.getvalue(), "docx")


@pytest.mark.parametrize("kind", ["pdf", "docx"])
def test_without_the_extra_its_name_is_said(kind, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(_office, "import_module", missing)
    with pytest.raises(UnreadableError, match=r"pip install 'trimtab\[docs\]'"):
        _office.text(b"PK", kind)


# --- languages and the mix ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("When does the harbour open?", "english"), ("Wann öffnet der Hafen?", "latin"), ("", "english"),
        ("ท่าเรือเปิดกี่โมง", "thai"), ("港口几点开放？", "chinese"), ("港は何時に開きますか", "japanese"),
        ("Когда открывается порт?", "cyrillic"), ("항구는 언제 엽니까", "korean"), ("متى يفتح الميناء", "arabic"),
    ],
)  # fmt: skip
def test_a_text_tells_its_language(text, language):
    assert _terms.language(text) == language


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_grams_are_short_and_say_nothing_of_case(text):
    found = list(_terms.grams(text))
    assert all(2 <= len(gram) <= 3 and " " not in gram for gram in found)
    assert len(_terms.asked_grams(text * 9)) <= _terms.MAX_GRAMS


def test_words_are_quoted_and_little_ones_left_out():
    assert _terms.words('berth" OR (fees) NEAR/2 the NOT *') == ["berth", "fees", "near", "2"]
    assert _terms.words("who are you") == ["who", "are", "you"]
    assert _terms.words("?!") == []


SCORES = st.dictionaries(st.integers(1, 30), st.floats(0.01, 50), max_size=20)
COSINES = st.dictionaries(st.integers(1, 30), st.floats(-0.9, 1), max_size=20)


@given(SCORES, SCORES, COSINES, st.sampled_from(list(_fusion.mixes("thai"))))
@settings(max_examples=200, deadline=None)
def test_a_mix_keeps_to_its_bounds_and_a_single_leg_keeps_its_order(words, grams, near, mix):
    legs = Legs(words, grams, near)
    found = _fusion.fused(legs, mix)
    assert set(found) == {*words, *grams, *near}
    assert all(0 <= score <= 1.0001 for score in found.values())
    assert list(found.values()) == sorted(found.values(), reverse=True)
    alone = _fusion.fused(Legs(words, {}, {}), Mix(1.0, 0.0, 0.0))
    assert [words[chunk] for chunk in alone] == sorted(words.values(), reverse=True)


def test_the_best_mix_is_that_of_the_leg_that_knows():
    right = {1: 5.0, 2: 1.0, 3: 0.5}
    asked = [(Legs({2: 3.0, 3: 2.9, 1: 0.1}, right, {2: 0.9, 3: 0.8, 1: 0.1}), 1)] * 10
    assert _fusion.best(asked, "thai").grams >= 0.6
    asked = [(Legs({2: 3.0, 1: 0.1}, {}, {1: 0.9, 2: 0.1}), 1)] * 10
    assert _fusion.best(asked, "english").meaning >= 0.5


def test_a_few_latin_words_are_of_the_language_that_the_corpus_is_in():
    assert _fusion.spoken("latin", {"english": 9, "latin": 2}) == "english"
    assert _fusion.spoken("latin", {"english": 2, "latin": 9}) == "latin"
    assert _fusion.spoken("english", {"latin": 9}) == "latin"
    assert _fusion.spoken("thai", {"english": 9}) == "thai"


async def test_weights_are_learnt_without_labels_kept_and_learnt_anew_when_the_corpus_has_grown(encoder, monkeypatch):
    monkeypatch.setattr(_calibrate, "LEAST", 20)
    monkeypatch.setattr(_calibrate, "ASKED", 6)
    index = Sqlite(None, encoder.dims)
    put(index, "one", 30)
    library = Library(index, lambda: encoder, None, off, size=1200, overlap=200)
    await library.learn()
    news = await library.calibrate()
    assert set(news) == {"english"}
    assert sum(getattr(news["english"], leg) for leg in ("words", "grams", "meaning")) == pytest.approx(1)
    assert _search.mix(index, "When does the ferry leave?") == news["english"]
    assert _search.mix(index, "ท่าเรือเปิดกี่โมง") == _fusion.usual("thai")
    assert _search.mix(index, "When does the ferry leave?", 0.25).meaning == 0.25
    assert await library.calibrate() == {}
    put(index, "two", 30)
    await library.learn()
    assert set(await library.calibrate()) == {"english"}
    index.close()


def put(index, source, count):
    facts = ("The ferry number {} leaves the harbour at noon and comes back in the evening with the mail. "
             "In winter number {} is out of service, and people take the bus to the town instead of it. "
             "The captain of number {} has worked on this line for many years and knows every rock.")  # fmt: skip
    texts = [facts.format(*[f"{source} {i}"] * 3) for i in range(count)]
    card = Card(source=source, title=source, kind="text", digest=source, root="")
    index.put(card, [Piece(0, len(text), source, text, "english") for text in texts])


def test_without_a_vector_words_have_all_the_weight():
    """Before the meanings are learnt: a passage that has all the words is as good as it gets."""
    index = Sqlite(None, 8)
    put(index, "one", 3)
    (best,) = _search.search(index, "When does the ferry number one 2 leave?", None, 1, None)
    assert best.score == 1.0
    index.close()


async def test_an_engine_that_is_not_there_is_a_clear_error(tmp_path):
    with pytest.raises(ConfigError, match="engine = 'lucene' is none"):
        hybrid.build(hybrid.Options(engine="lucene"), testing.tools(tmp_path))
    with pytest.raises(ConfigError, match="TRIMTAB_DOCS_URL"):
        _open.opened("postgres", tmp_path, 8, lambda _: None)


THAI = {
    "th1": "ท่าเรือเปิดให้บริการทุกวันตั้งแต่หกโมงเช้าถึงสี่ทุ่ม ยกเว้นวันที่มีพายุ",
    "th2": "ค่าจอดเรือคิดตามความยาวของเรือ คืนละสิบสองยูโรสำหรับเรือยาวไม่เกินแปดเมตร",
    "th3": "ห้องสมุดของเมืองอยู่ตรงข้ามสถานีรถไฟ มีหนังสือมากกว่าสองหมื่นเล่ม",
    "zh1": "图书馆每周一闭馆，其他日子从上午九点开到下午六点。", "zh2": "停泊费按船的长度计算，八米以下每晚十二欧元。",
    "zh3": "渡轮每小时一班，冬天停运。", "ja1": "図書館は毎週月曜日が休館日で、九時から六時まで開いています。",
    "ja2": "停泊料金は船の長さで決まり、八メートル以下は一晩十二ユーロです。",
    "ja3": "フェリーは一時間に一本ありますが、冬は運休します。",
}  # fmt: skip


@pytest.mark.parametrize(
    ("question", "source"),
    [
        ("จอดเรือคืนละเท่าไร", "th2"), ("ห้องสมุดอยู่ที่ไหน", "th3"), ("ท่าเรือเปิดกี่โมง", "th1"),
        ("停泊费多少钱", "zh2"), ("图书馆几点开门", "zh1"), ("渡轮冬天有吗", "zh3"),
        ("停泊料金はいくらですか", "ja2"), ("図書館の休館日は", "ja1"), ("フェリーは冬も動きますか", "ja3"),
    ],
)  # fmt: skip
async def test_languages_without_spaces_are_found(question, source, encoder):
    index = Sqlite(None, encoder.dims)
    for name, text in THAI.items():
        card = Card(source=name, title="", kind="text", digest=name, root="")
        index.put(card, [Piece(0, len(text), "", text, _terms.language(text))])
    await Library(index, lambda: encoder, None, off, size=1200, overlap=200).learn()
    vector = encoder.embed_now([question])[0]
    assert _search.search(index, question, vector, 3, None)[0].source == source
    index.close()
