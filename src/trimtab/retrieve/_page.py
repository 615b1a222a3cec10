"""The text that a reader of an HTML page sees, with its headings marked as in Markdown."""

import re
from html.parser import HTMLParser


class Page(HTMLParser):
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
