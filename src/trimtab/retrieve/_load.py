"""Files and folders -> documents: UTF-8 text, Markdown, HTML, CSV and Python source; what else there is, is named.

Offsets of passages and citations are character offsets into `Document.text`: the decoded file as it is, or, of HTML,
the text that a reader of the page sees. `read` gives that text again, so that anyone can look a citation up.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path

import msgspec

from trimtab.errors import ConfigError

KINDS = {
    ".txt": "text", ".md": "markdown", ".markdown": "markdown",
    ".html": "html", ".htm": "html", ".csv": "csv", ".py": "python",
}  # fmt: skip
MAX_BYTES = 20_000_000  # a larger file is skipped: its vectors would take minutes


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One file's text; `source` is its path as it is cited, `kind` one of the values of `KINDS`."""

    source: str
    title: str
    kind: str
    text: str


class UnreadableError(Exception):
    """This file is skipped; the message says why."""


def documents(paths: Sequence[str], folder: Path, say: Callable[[str], None]) -> list[Document]:
    """The documents at `paths` (relative ones start from `folder`), in order of their sources; blocks on disk.

    Hidden files are left out, those that cannot be read or that a link puts in from outside are told to `say`, and of
    two files with the same text one is kept. Raises `ConfigError` for a path that does not exist.
    """
    found: dict[str, Document] = {}
    for file in sorted({file for path in paths for file in _files(path, folder, say)}):
        try:
            document = read(file, folder)
        except UnreadableError as error:
            say(f"Skipped {file}: {error}.")
            continue
        found.setdefault(hashlib.sha256(document.text.encode()).hexdigest(), document)
    return list(found.values())


def read(file: Path, folder: Path) -> Document:
    """One file as a document cited relative to `folder`. Raises `UnreadableError`."""
    kind = KINDS.get(file.suffix.lower())
    if kind is None:
        raise UnreadableError(f"{file.suffix or 'a file without an ending'} is not one of {', '.join(KINDS)}")
    text = _decoded(file)
    title = file.stem.replace("-", " ").replace("_", " ")
    if kind == "html":
        page = _Page(text)
        text, title = page.text, page.title or title
    if not text.strip():
        raise UnreadableError("there is no text in it")
    source = file.relative_to(folder) if file.is_relative_to(folder) else file
    return Document(source=source.as_posix(), title=_heading(text) if kind == "markdown" else title, kind=kind,
                    text=text)  # fmt: skip


def _files(path: str, folder: Path, say: Callable[[str], None]) -> Iterator[Path]:
    """What a path stands for. A link inside of a folder may not lead out of it: what can be cited was put there."""
    start = (folder / path).resolve() if not Path(path).is_absolute() else Path(path)
    if start.is_file():
        yield start
    elif start.is_dir():
        inside = start.resolve()
        for file in start.rglob("*"):
            if _hidden(file, start) or not file.is_file():
                continue
            real = file.resolve()
            if real.is_relative_to(inside) and not _hidden(real, inside):
                yield file
            else:
                say(f"Skipped {file}: it links to what is not in {start}; copy the file there, or add it to `paths`.")
    else:
        raise ConfigError(f"There are no documents at {start}.", "Mend `paths` of [retrieve], or make that folder.")


def _hidden(file: Path, start: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(start).parts)


def _decoded(file: Path) -> str:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise UnreadableError(f"it is larger than {MAX_BYTES // 1_000_000} MB; split it")
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"it is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise UnreadableError(error.strerror or str(error)) from error


def _heading(text: str) -> str:
    """A Markdown page's title: its first heading, else its first line."""
    first = re.search(r"^#{1,6}[ \t]+(\S.*)$", text, re.MULTILINE)
    return (first[1] if first else text.lstrip().split("\n", 1)[0])[:120].strip(" #\r")


class _Page(HTMLParser):
    """The text a reader of a page sees: a line for each block, headings marked as in Markdown, no scripts."""

    BLOCKS = re.compile(
        "p|div|section|article|header|footer|main|aside|li|ul|ol|table|tr|br|hr|pre|blockquote|dl|dt|dd|h[1-6]|form|"
        "fieldset|figure|figcaption|nav|body|title"
    )
    SILENT = frozenset({"script", "style", "noscript", "template", "svg", "head"})

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.title, self._silent, self._titled = "", 0, False
        self._pieces: list[str] = []
        self.feed(source)
        self.close()
        lines = (" ".join(line.split()) for line in "".join(self._pieces).split("\n"))
        self.text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"
        self.title = " ".join(self.title.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in self.SILENT
        self._titled = tag == "title"
        if tag == "body":
            self._silent = 0  # pages whose head is never closed
        if self.BLOCKS.fullmatch(tag):
            self._pieces.append("\n\n")
        if re.fullmatch("h[1-6]", tag):
            self._pieces.append("#" * int(tag[1]) + " ")
        if tag == "li":
            self._pieces.append("- ")
        if tag in ("td", "th"):
            self._pieces.append(" | ")

    def handle_endtag(self, tag: str) -> None:
        self._silent = max(0, self._silent - (tag in self.SILENT))
        self._titled = self._titled and tag != "title"
        if self.BLOCKS.fullmatch(tag):
            self._pieces.append("\n\n")

    def handle_data(self, data: str) -> None:
        if self._titled:
            self.title += data
        elif not self._silent:
            self._pieces.append(data.replace("\n", " "))
