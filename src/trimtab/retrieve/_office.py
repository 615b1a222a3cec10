"""The text of PDF and DOCX files, by pypdf and python-docx of the extra `trimtab[docs]`.

A page of a PDF ends with a form feed; headings of a DOCX are marked as in Markdown, its tables are a row a line.
"""

import io
import logging
import zipfile
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from trimtab.retrieve._unreadable import UnreadableError

KINDS = frozenset({"pdf", "docx"})
PAGE_END = "\f"
MAX_TEXT = 20_000_000  # characters
MAX_UNPACKED = 400_000_000  # bytes of a DOCX: what is more is a bomb
EXTRA = "it needs the extra: pip install 'trimtab[docs]'"


def text(content: bytes, kind: str) -> tuple[str, str]:
    """The text, and the title that the file gives itself or "". Raises `UnreadableError`, `MemoryError`.

    To be called where it may take its time: see `_apart`.
    """
    reads = {"pdf": _pdf, "docx": _docx}[kind]
    try:
        found, title = reads(content)
    except ImportError as error:
        raise UnreadableError(EXTRA) from error
    except (UnreadableError, MemoryError):
        raise
    except RecursionError as error:
        raise UnreadableError(f"it is broken: its parts are nested without end; export it as {kind} again") from error
    except Exception as error:  # what a broken file makes a parser raise has no end
        raise UnreadableError(f"it is a broken {kind} ({_short(error)}); export it again") from error
    return found, " ".join(title.split())[:120]


def _pdf(content: bytes) -> tuple[str, str]:
    pypdf = import_module("pypdf")
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # what it mends silently is no news to anyone here
    reader = pypdf.PdfReader(io.BytesIO(content))
    if reader.is_encrypted and not reader.decrypt(""):
        raise UnreadableError("it is encrypted; save it without a password")
    pages, size = [], 0
    for page in reader.pages:
        pages.append(page.extract_text().replace(PAGE_END, "\n").replace("\0", ""))
        size += len(pages[-1])
        _bounded(size)
    return "".join(f"{page}\n{PAGE_END}" for page in pages), _title(reader.metadata)


def _title(metadata: Any) -> str:
    return str(metadata.title or "") if metadata else ""


def _docx(content: bytes) -> tuple[str, str]:
    docx = import_module("docx")
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        if sum(part.file_size for part in packed.infolist()) > MAX_UNPACKED:
            raise UnreadableError(f"it unpacks to more than {MAX_UNPACKED // 1_000_000} MB; split it")
    document = docx.Document(io.BytesIO(content))
    found = "\n".join(_lines(document))
    _bounded(len(found))
    return found, document.core_properties.title or ""


def _lines(document: Any) -> Iterator[str]:
    """Paragraphs and tables in their order."""
    for part in document.iter_inner_content():
        if hasattr(part, "rows"):
            for row in part.rows:
                yield " | ".join(" ".join(cell.text.split()) for cell in row.cells)
            yield ""
        else:
            yield f"{_marks(part)}{part.text}"
            yield ""


def _marks(paragraph: Any) -> str:
    style = paragraph.style.name if paragraph.style is not None else ""
    if style == "Title":
        return "# "
    depth = style.removeprefix("Heading ")
    return "#" * min(int(depth), 6) + " " if style.startswith("Heading ") and depth.isdigit() and int(depth) else ""


def _bounded(size: int) -> None:
    if size > MAX_TEXT:
        raise UnreadableError(f"it holds more than {MAX_TEXT // 1_000_000} million characters; split it")


def _short(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:120]
