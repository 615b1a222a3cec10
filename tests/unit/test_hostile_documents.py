"""Files that are made to hurt whoever reads them: each is a clear error on itself, in bounded time and memory."""

import importlib.util
import io
import sys
import zipfile

import pytest

from trimtab.encode.encoder import Encoder
from trimtab.retrieve import _apart, _load
from trimtab.retrieve._library import Library
from trimtab.retrieve._sqlite import Sqlite
from trimtab.retrieve._unreadable import UnreadableError

pytestmark = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("pypdf", "docx"))), reason="the extra trimtab[docs] is not installed"
)
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def pdf(*parts):
    """A PDF of these objects: the first is its catalogue."""
    body, places = b"%PDF-1.7\n", []
    for number, part in enumerate(parts, 1):
        places.append(len(body))
        body += b"%d 0 obj\n%b\nendobj\n" % (number, part)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (len(parts) + 1, len(body))
    return b"%bxref\n0 %d\n0000000000 65535 f \n%b%b" % (body, len(parts) + 1, table, end)


def page(content):
    """A PDF of one page with this content, which is a stream of drawing operators."""
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    return pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << /Font << /F 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(content), content), font,
    )  # fmt: skip


def plain(text="A berth costs twelve euros."):
    return page(b"BT /F 12 Tf (%b) Tj ET" % text.encode())


def encrypted():
    import pypdf

    writer, made = pypdf.PdfWriter(clone_from=io.BytesIO(plain())), io.BytesIO()
    writer.encrypt("secret", algorithm="RC4-128")
    writer.write(made)
    return made.getvalue()


def docx(parts):
    """A DOCX whose text is these parts of XML, packed as they come."""
    import docx as made_by

    whole, packed = io.BytesIO(), io.BytesIO()
    made_by.Document().save(whole)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new:
        for name in old.namelist():
            if name != "word/document.xml":
                new.writestr(name, old.read(name))
        with new.open("word/document.xml", "w", force_zip64=True) as stream:
            stream.write(f'<w:document xmlns:w="{WORD}"><w:body>'.encode())
            for part in parts:
                stream.write(part)
            stream.write(b"</w:body></w:document>")
    return packed.getvalue()


def why(content, kind, tmp_path):
    file = tmp_path / f"x.{kind}"
    file.write_bytes(content)
    with pytest.raises(UnreadableError) as caught:
        _load.read(file, tmp_path)
    return str(caught.value)


def test_a_parser_that_does_not_end_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(_apart, "CPU", 2)
    endless = page(b"BT /F 12 Tf " + b"(a) Tj\n" * 3_000_000 + b"ET")
    assert why(endless, "pdf", tmp_path).startswith("it takes more than 2 s to read")


def test_a_parser_that_waits_is_ended_by_the_clock(tmp_path, monkeypatch):
    monkeypatch.setattr(_apart, "SECONDS", 0.001)
    assert why(plain(), "pdf", tmp_path).startswith("it takes more than 0.001 s to read")


def test_a_packed_bomb_is_not_unpacked(tmp_path):
    bomb = docx(bytes(10_000_000) for _ in range(41))
    assert len(bomb) < 4_000_000
    assert why(bomb, "docx", tmp_path) == "it unpacks to more than 400 MB; split it"


def test_a_bomb_below_that_has_no_more_than_its_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(_apart, "MEMORY", 400 << 20)
    bomb = docx(b"<w:p/>" * 1_000_000 for _ in range(15))
    said = why(bomb, "docx", tmp_path)
    assert said.startswith("it takes more than 400 MB of memory") or "broken docx" in said


@pytest.mark.parametrize(
    "content",
    [
        pdf(b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [2 0 R] /Count 1 >>"),  # its own child
        pdf(b"<< /Type /Catalog /Pages " + b"[" * 100_000 + b"]" * 100_000 + b" >>"),
        page(b"BT " + b"[" * 50_000 + b" TJ ET"),
        plain()[: len(plain()) // 2],
    ],
    ids=["a loop", "nested", "nested drawing", "cut off"],
)  # fmt: skip
def test_what_has_no_end_or_is_cut_off_is_a_clear_error(content, tmp_path):
    said = why(content, "pdf", tmp_path)
    assert "it is broken" in said or "it is a broken pdf" in said or "no text in it" in said


def test_an_encrypted_file_and_one_of_200_mb_are_told(tmp_path):
    assert why(encrypted(), "pdf", tmp_path) == "it is encrypted; save it without a password"
    with (tmp_path / "large.pdf").open("wb") as file:
        file.write(b"%PDF-1.7\n")
        file.truncate(200_000_000)
    with pytest.raises(UnreadableError, match="larger than 100 MB"):
        _load.read(tmp_path / "large.pdf", tmp_path)


def test_the_process_that_reads_sees_no_secret(monkeypatch, tmp_path):
    monkeypatch.setenv("TRIMTAB_API_KEY", "a-secret")
    seen = {}

    def run(command, **given):
        seen.update(given["env"], command=command)
        raise _apart.subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(_apart.subprocess, "run", run)
    why(plain(), "pdf", tmp_path)
    assert set(seen) == {"PYTHONPATH", "command"}
    assert seen["command"][0] == sys.executable


async def test_the_rest_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(_apart, "CPU", 3)
    encoder, index = Encoder.load(), Sqlite(None, 384)

    async def off(work, *given):
        return work(*given)

    (tmp_path / "a.pdf").write_bytes(page(b"BT /F 12 Tf " + b"(a) Tj\n" * 4_000_000 + b"ET"))
    (tmp_path / "b.pdf").write_bytes(plain())
    (tmp_path / "c.docx").write_bytes(docx([b"<w:p><w:r><w:t>The pilot boards.</w:t></w:r></w:p>"]))
    (tmp_path / "d.docx").write_bytes(b"PK\3\4 no more")
    report = await Library(index, lambda: encoder, tmp_path, off, size=1200, overlap=200).take(str(tmp_path))
    assert (report.added, [name.rpartition("/")[2] for name, _ in report.failed]) == (
        ["b.pdf", "c.docx"], ["a.pdf", "d.docx"],
    )  # fmt: skip
    index.close()
    encoder.close()
