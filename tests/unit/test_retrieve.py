"""Documents, their chunks and the hybrid retriever: on real files, SQLite and encoder."""

import asyncio
import base64
import contextlib
import itertools
import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab import testing
from trimtab.encode.encoder import Encoder
from trimtab.errors import ConfigError
from trimtab.retrieve import _library, hybrid
from trimtab.retrieve._chunk import chunks
from trimtab.retrieve._library import Library
from trimtab.retrieve._load import Document, read
from trimtab.retrieve._sqlite import Sqlite

PAGE = """# Harbour

Ships may enter at high tide only.

## Fees

A berth costs 12 euros a night.

```sh
# not a heading
```

### Winter

In winter a berth is free.

## Empty
## Pilots

Pilots board at the outer buoy.
"""


@pytest.fixture(scope="module")
def encoder():
    loaded = Encoder.load()
    yield loaded
    loaded.close()


@pytest.fixture
def opened(tmp_path, encoder):
    """Start a retriever over the files of `tmp_path/docs`; what it says is kept in `opened.said`."""
    (tmp_path / "docs").mkdir()

    @contextlib.asynccontextmanager
    async def run(**options):
        run.said = []
        tools = testing.tools(tmp_path / "home", name="hybrid", recipe=tmp_path, encoder=lambda: encoder,
                              say=run.said.append, starting=lambda _: None, closing=lambda _: None)  # fmt: skip
        retriever = hybrid.build(hybrid.Options(**{"paths": ("docs",), **options}), tools)
        await retriever.start()
        try:
            await retriever.ready()
            yield retriever
        finally:
            await retriever.close()

    return run


@pytest.fixture
def counted(encoder, monkeypatch):
    """The texts that were encoded."""
    texts = []
    embed = encoder.embed

    async def counting(given):
        texts.extend(given)
        return await embed(given)

    monkeypatch.setattr(encoder, "embed", counting)
    return texts


@pytest.fixture
def took(tmp_path, encoder):
    """Take paths into a new index in memory: the report, and the texts by source."""
    made = []

    async def off(work, *given):
        return work(*given)

    async def run(*paths, **more):
        index = Sqlite(None, encoder.dims)
        made.append(index)
        library = Library(index, lambda: encoder, tmp_path, off, size=1200, overlap=200)
        report = _library.Report()
        for path in paths:
            report = report.also(await library.take(path, **more))
        return report, {card.source: card for card in index.cards().values()}

    yield run
    for index in made:
        index.close()


def document(text, kind="markdown", title="Harbour"):
    return Document(source="a", title=title, kind=kind, text=text)


def titles(text, **more):
    return [chunk.title for chunk in chunks(document(text, **more), 1200, 200)]


# --- loading --------------------------------------------------------------------------------------------------------


async def test_files_are_read_and_others_are_named_and_left_out(tmp_path, took):
    (tmp_path / "a.md").write_text("# A\n\nalpha")
    (tmp_path / "b.txt").write_bytes("\ufeffbeta\r\n".encode())
    (tmp_path / "u.txt").write_bytes("gamma".encode("utf-16"))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.csv").write_text("name,price\nberth,12\n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "zeros.txt").write_bytes(b"a\0b\0c\0")
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    (tmp_path / "empty.md").write_text(" \n")
    (tmp_path / ".hidden.md").write_text("hidden")
    report, cards = await took(".")
    assert {card.source: card.title for card in cards.values()} == {
        "a.md": "A", "b.txt": "b", "sub/c.csv": "c", "u.txt": "u",
    }  # fmt: skip
    assert read(tmp_path / "b.txt", tmp_path).text == "beta\r\n"
    assert read(tmp_path / "u.txt", tmp_path).text == "gamma"
    failed = {file.rpartition("/")[2]: why for file, why in report.failed}
    assert set(failed) == {"latin.txt", "empty.md", "zeros.txt"}
    assert "not UTF-8" in failed["latin.txt"]
    assert "no text" in failed["empty.md"]
    assert "zero bytes" in failed["zeros.txt"]
    ((photo, why),) = report.skipped
    assert photo.endswith("photo.jpg")
    assert ".jpg is not" in why


async def test_a_link_that_leads_out_of_the_folder_is_not_followed(tmp_path, took):
    docs, outside = tmp_path / "docs", tmp_path / "outside"
    for folder in (docs, outside):
        folder.mkdir()
    (outside / "secret.txt").write_text("the password is hunter2")
    (docs / "a.txt").write_text("alpha")
    (docs / ".hidden.txt").write_text("hidden")
    (docs / "again.txt").symlink_to(docs / "a.txt")
    (docs / "x.txt").symlink_to(outside / "secret.txt")
    (docs / "y.txt").symlink_to(docs / ".hidden.txt")
    (docs / "z").symlink_to(outside)
    (docs / "loop.txt").symlink_to(docs / "loop.txt")
    report, cards = await took("docs")
    assert set(cards) == {"docs/a.txt"}
    assert {file.rpartition("/")[2] for file, _ in report.skipped} == {"x.txt", "y.txt"}
    assert all("links to what is not in" in why for _, why in report.skipped)
    _, cards = await took("docs/x.txt")
    assert [card.characters for card in cards.values()] == [len("the password is hunter2")], "named"
    (tmp_path / "linked").symlink_to(docs)
    _, cards = await took(str(tmp_path / "linked"))
    assert len(cards) == 1


async def test_the_same_text_twice_is_one_document(tmp_path, took):
    (tmp_path / "a.txt").write_text("the same")
    (tmp_path / "b.txt").write_text("the same")
    report, cards = await took("a.txt", "b.txt", "a.txt")
    assert list(cards) == ["a.txt"]
    assert report.same == [("b.txt", "a.txt")]


async def test_a_path_that_is_not_there_is_a_clear_error(took):
    with pytest.raises(ConfigError, match=r"no documents at .*nowhere"):
        await took("nowhere")


def test_a_page_reads_as_a_person_sees_it(tmp_path):
    (tmp_path / "p.html").write_text(
        "<!doctype html><html><head><title>The &amp; port</title><style>p{}</style></head><body><h2>Fees</h2>"
        "<p>A berth\ncosts <b>12</b>&nbsp;euros.</p><script>alert('no')</script><ul><li>one<li>two</ul></body></html>"
    )
    page = read(tmp_path / "p.html", tmp_path)
    assert page.title == "The & port"
    assert "## Fees" in page.text
    assert "A berth costs 12 euros." in page.text
    assert "- one\n\n- two" in page.text
    assert "alert" not in page.text


# --- chunks ---------------------------------------------------------------------------------------------------------


def test_sections_are_cut_at_headings_and_carry_their_path():
    assert titles(PAGE) == ["Harbour", "Harbour > Fees", "Harbour > Fees > Winter", "Harbour > Pilots"]


def test_python_is_cut_at_definitions_with_their_decorators():
    text = "import os\n\n@cache\ndef dock():\n    pass\n\nclass Ship:\n    def sail(self): ...\n"
    found = list(chunks(document(text, kind="python", title="port"), 1200, 200))
    assert [chunk.title for chunk in found] == ["port", "port > dock", "port > Ship"]
    assert text[found[1].start : found[1].end].startswith("@cache")


def test_csv_chunks_carry_the_header():
    rows = "name,price\n" + "".join(f"berth {i},{i}\n" for i in range(100))
    found = list(chunks(document(rows, kind="csv", title="fees"), 300, 0))
    assert len(found) > 3
    assert all(chunk.title == "fees: name,price" for chunk in found)


def test_a_long_section_overlaps_at_sentences():
    text = " ".join(f"Sentence number {i} is here." for i in range(200))
    found = list(chunks(document(text, kind="text"), 500, 100))
    for one, other in itertools.pairwise(found):
        assert 0 < one.end - other.start <= 101
        assert text[other.start :].startswith("Sentence")


@given(st.text(st.sampled_from("ab .\n#`|é\r\u2028"), max_size=3000), st.integers(200, 600), st.integers(0, 100))
@settings(max_examples=150, deadline=None)
def test_chunks_are_slices_that_lose_nothing_and_keep_their_size(text, size, overlap):
    for kind in ("text", "markdown", "python"):
        found = list(chunks(document(text, kind=kind), size, overlap))
        kept = set()
        for chunk in found:
            assert 0 < chunk.end - chunk.start <= size
            kept.update(range(chunk.start, chunk.end))
        assert all(i in kept for i, char in enumerate(text) if not char.isspace())


# --- the kind -------------------------------------------------------------------------------------------------------


async def test_meaning_finds_what_shares_no_word(opened, tmp_path):
    (tmp_path / "docs" / "a.md").write_text(
        "# Cash\n\nMachines dispense banknotes.\n\n# Boats\n\nSailing lessons start in May."
    )
    async with opened() as retriever:
        found = (await retriever.retrieve(testing.ask("Where can I withdraw money?"))).passages
    assert "banknotes" in found[0].text
    assert found[0].source == "docs/a.md"
    assert found[0].title == "Cash"


async def test_a_passage_is_a_slice_of_its_file(opened, tmp_path):
    (tmp_path / "docs" / "a.md").write_text(PAGE)
    async with opened() as retriever:
        found = (await retriever.retrieve(testing.ask("What does a berth cost in winter?"))).passages
    assert all(PAGE[one.start : one.end] == one.text for one in found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


async def test_a_restart_encodes_nothing_and_an_edit_only_what_changed(opened, tmp_path, counted):
    for name in "abc":
        (tmp_path / "docs" / f"{name}.md").write_text(f"# {name}\n\nThe page {name}.")
    async with opened():
        assert len(counted) == 1 + 3  # the probe and the pages
    counted.clear()
    async with opened() as retriever:
        assert counted == [_library.PROBE]
        assert (await retriever.retrieve(testing.ask("page b"))).passages[0].source == "docs/b.md"
    counted.clear()
    (tmp_path / "docs" / "b.md").write_text("# b\n\nA new page.")
    async with opened():
        assert counted == [_library.PROBE, "b\n# b\n\nA new page."]


async def test_another_encoder_makes_the_kept_vectors_void(opened, tmp_path, counted):
    (tmp_path / "docs" / "a.md").write_text("Alpha.")
    async with opened():
        pass
    with contextlib.closing(sqlite3.connect(tmp_path / "home" / "docs.db")) as db, db:
        db.execute("UPDATE notes SET value = ? WHERE key = 'probe'", (base64.b64encode(bytes(4 * 384)).decode(),))
    counted.clear()
    async with opened():
        assert len(counted) == 2


async def test_a_broken_cache_is_said_and_the_search_still_works(opened, tmp_path):
    (tmp_path / "docs" / "a.md").write_text("The crane lifts forty tonnes.")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "docs.db").write_bytes(b"not a database, but long enough to be looked at" * 50)
    async with opened() as retriever:
        assert (await retriever.retrieve(testing.ask("What does the hoist carry?"))).passages
        assert any("cannot be kept" in line for line in opened.said)


async def test_no_documents_is_said_and_finds_nothing(opened):
    async with opened() as retriever:
        assert (await retriever.retrieve(testing.ask("anything"))).passages == ()
        assert any("No documents" in line for line in opened.said)


async def test_words_answer_while_the_meanings_are_still_learnt(tmp_path, encoder, monkeypatch):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("The crane lifts forty tonnes.")
    gate = asyncio.Event()
    embed = encoder.embed

    async def slow(texts):
        await gate.wait()
        return await embed(texts)

    monkeypatch.setattr(encoder, "embed", slow)
    monkeypatch.setattr(hybrid, "PATIENCE", 0.0)
    tools = testing.tools(tmp_path, name="hybrid", recipe=tmp_path, encoder=lambda: encoder)
    retriever = hybrid.build(hybrid.Options(paths=("docs",)), tools)
    await retriever.start()
    assert (await retriever.retrieve(testing.ask("crane"))).passages
    assert (await retriever.retrieve(testing.ask("zebra"))).passages == ()
    gate.set()
    await retriever.ready()
    assert (await retriever.retrieve(testing.ask("zebra"))).passages, "by meaning everything is a little near"
    await retriever.close()


async def test_an_encoder_that_fails_is_said_and_words_go_on(tmp_path, encoder, monkeypatch):
    async def broken(texts):
        raise RuntimeError("no such model")

    monkeypatch.setattr(encoder, "embed", broken)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("The crane lifts forty tonnes.")
    said = []
    tools = testing.tools(tmp_path, name="hybrid", recipe=tmp_path, encoder=lambda: encoder, say=said.append)
    retriever = hybrid.build(hybrid.Options(paths=("docs",)), tools)
    await retriever.start()
    assert (await retriever.retrieve(testing.ask("crane"))).passages
    assert any("no such model" in line for line in said)
    await retriever.close()


async def test_the_first_question_waits_for_a_while_and_then_has_what_its_words_find(tmp_path, encoder, monkeypatch):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("The crane lifts forty tonnes.")
    never = asyncio.Event()
    monkeypatch.setattr(encoder, "embed", lambda _: never.wait())
    monkeypatch.setattr(hybrid, "PATIENCE", 0.05)
    tools = testing.tools(tmp_path, name="hybrid", recipe=tmp_path, encoder=lambda: encoder)
    retriever = hybrid.build(hybrid.Options(paths=("docs",)), tools)
    await retriever.start()
    both = await asyncio.gather(*(retriever.retrieve(testing.ask("What does the crane lift?")) for _ in range(2)))
    assert [len(evidence.passages) for evidence in both] == [1, 1]
    await retriever.close()


async def test_an_encoder_that_fails_later_leaves_what_the_words_find(opened, tmp_path, encoder, monkeypatch):
    async def broken(texts):
        raise RuntimeError("out of memory")

    (tmp_path / "docs" / "a.md").write_text("The crane lifts forty tonnes.")
    async with opened() as retriever:
        monkeypatch.setattr(encoder, "embed", broken)
        assert (await retriever.retrieve(testing.ask("crane"))).passages
        assert any("out of memory" in line for line in opened.said)


async def test_closing_while_learning_is_quiet(tmp_path, encoder):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("The crane.")
    tools = testing.tools(tmp_path, name="hybrid", recipe=tmp_path, encoder=lambda: encoder)
    retriever = hybrid.build(hybrid.Options(paths=("docs",)), tools)
    await retriever.start()
    await retriever.close()


@pytest.mark.parametrize("wrong", [{"k": 0}, {"size": 10}, {"overlap": 900}, {"meaning": 1.5}])
def test_options_out_of_range_are_refused(wrong, tmp_path):
    with pytest.raises(ConfigError):
        hybrid.build(hybrid.Options(paths=("docs",), **wrong), testing.tools(tmp_path))
