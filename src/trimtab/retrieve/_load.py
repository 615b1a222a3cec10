"""One file -> a document: text, Markdown, HTML, CSV and code by the core; PDF and DOCX with the extra `trimtab[docs]`.

Offsets of passages and citations are character offsets into `Document.text`: the decoded file as it is, or, of HTML,
PDF and DOCX, the text that a reader of it sees. `read` gives that text again, so that anyone can look a citation up.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from trimtab.errors import ConfigError
from trimtab.retrieve import _apart, _office
from trimtab.retrieve._page import Page
from trimtab.retrieve._unreadable import UnreadableError

CODE = (
    "js mjs cjs ts tsx jsx java kt scala go rs c h cc cpp hpp cs swift rb php pl lua r jl sh bash sql "
    "proto ex exs erl hs ml clj dart vue"
)
PLAIN = "txt text log rst tex adoc org json jsonl yaml yml toml ini cfg conf xml srt vtt"
KINDS = {
    ".md": "markdown", ".markdown": "markdown", ".html": "html", ".htm": "html", ".csv": "csv", ".tsv": "csv",
    ".py": "python", ".pdf": "pdf", ".docx": "docx",
    **{f".{ending}": "code" for ending in CODE.split()}, **{f".{ending}": "text" for ending in PLAIN.split()},
}  # fmt: skip
SHOWN = "text, Markdown, HTML, CSV, code, PDF or DOCX"
MAX_BYTES = 20_000_000  # a larger text is refused: its vectors would take minutes
MAX_OFFICE_BYTES = 100_000_000  # PDF and DOCX: most of it is pictures
VERSION = 1  # of what `parsed` makes of the same bytes; another one makes every document new
_MARKS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One file's text; `source` is its path as it is cited, `kind` one of the values of `KINDS`."""

    source: str
    title: str
    kind: str
    text: str


class Raw(msgspec.Struct, frozen=True, kw_only=True):
    """A file's bytes as they were read at one moment; `digest` is their SHA-256 with the loader's version, in hex."""

    file: Path
    kind: str
    content: bytes
    digest: str


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What lies at some paths: `files` of kinds that are read, `others` with the reason why they are not."""

    files: tuple[Path, ...]
    others: tuple[tuple[Path, str], ...]


def found(paths: Sequence[str], folder: Path) -> Found:
    """The files at `paths` (relative ones start from `folder`), each once; blocks on disk.

    Hidden files are left out. Raises `ConfigError` for a path that does not exist.
    """
    files: set[Path] = set()
    others: dict[Path, str] = {}
    for path in paths:
        for file, why in _files(path, folder):
            if why:
                others[file] = why
            else:
                files.add(file)
    return Found(files=tuple(sorted(files)), others=tuple(sorted(o for o in others.items() if o[0] not in files)))


def read(file: Path, folder: Path) -> Document:
    """One file as a document cited relative to `folder`. Raises `UnreadableError`."""
    return parsed(raw(file), folder)


def raw(file: Path) -> Raw:
    """The file's bytes. Raises `UnreadableError`: what it is, too large, gone, or not to be read."""
    kind = KINDS.get(file.suffix.lower())
    if kind is None:
        raise UnreadableError(f"{file.suffix or 'a file without an ending'} is not {SHOWN}")
    limit = MAX_OFFICE_BYTES if kind in _office.KINDS else MAX_BYTES
    try:
        with file.open("rb") as stream:  # no more than the limit, whatever it grows to meanwhile
            content = stream.read(limit + 1)
    except FileNotFoundError as error:
        raise UnreadableError("it was deleted while the documents were read") from error
    except OSError as error:
        raise UnreadableError(error.strerror or str(error)) from error
    if len(content) > limit:
        raise UnreadableError(f"it is larger than {limit // 1_000_000} MB; split it")
    digest = hashlib.sha256(f"{VERSION} {kind}\0".encode() + content)
    return Raw(file=file, kind=kind, content=content, digest=digest.hexdigest())


def parsed(given: Raw, folder: Path) -> Document:
    """The document that the bytes are, cited relative to `folder`. Raises `UnreadableError`."""
    title = given.file.stem.replace("-", " ").replace("_", " ")
    if given.kind in _office.KINDS:
        text, named = _apart.text(given.content, given.kind)
        title = named or title
    else:
        text = _decoded(given.content)
    if given.kind == "html":
        page = Page(text)
        text, title = page.text, page.title or title
    if not text.strip():
        scanned = "; a scan needs OCR first" if given.kind == "pdf" else ""
        raise UnreadableError(f"there is no text in it{scanned}")
    return Document(source=cited(given.file, folder), title=_heading(text) if given.kind == "markdown" else title,
                    kind=given.kind, text=text)  # fmt: skip


def cited(file: Path, folder: Path) -> str:
    """How a file is called as a source: relative to `folder` where it lies inside of it."""
    return (file.relative_to(folder) if file.is_relative_to(folder) else file).as_posix()


def place(path: str, folder: Path) -> Path:
    """Where a path of the settings, or of a command, is."""
    return (folder / path).resolve() if not Path(path).is_absolute() else Path(path)


def _files(path: str, folder: Path) -> Iterator[tuple[Path, str]]:
    """What a path stands for, and why some of it is not read.

    A link inside of a folder may not lead out of it: what can be cited was put there.
    """
    start = place(path, folder)
    if start.is_file():
        yield start, ""
    elif start.is_dir():
        inside = start.resolve()
        for file in start.rglob("*"):
            if _hidden(file, start) or not file.is_file():
                continue
            yield file, _left_out(file, inside)
    else:
        raise ConfigError(f"There are no documents at {start}.", "Mend the path, or make that folder.")


def _left_out(file: Path, inside: Path) -> str:
    real = file.resolve()
    if not real.is_relative_to(inside) or _hidden(real, inside):
        return f"it links to what is not in {inside}; copy the file there, or add it by its own path"
    if file.suffix.lower() not in KINDS:
        return f"{file.suffix or 'a file without an ending'} is not {SHOWN}"
    return ""


def _hidden(file: Path, start: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(start).parts)


def _decoded(content: bytes) -> str:
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableError(f"it is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    if text.count("\0") > len(text) // 100:
        raise UnreadableError("it is not text: it is full of zero bytes; save it as UTF-8")
    return text


def _heading(text: str) -> str:
    """A Markdown page's title: its first heading, else its first line."""
    first = re.search(r"^#{1,6}[ \t]+(\S.*)$", text, re.MULTILINE)
    return (first[1] if first else text.lstrip().split("\n", 1)[0])[:120].strip(" #\r")
