"""Corpora in other languages for benchmarks/retrieval.py, made of Debian's translated manual pages.

    apt-get download manpages-zh manpages-ja manpages-de manpages-fr manpages-es manpages-ru manpages-pl
    python benchmarks/manuals.py *.deb --out DIR
    python benchmarks/retrieval.py --data DIR

A document is what follows a page's NAME, without it; its question is the sentence by which NAME describes the page, the
page's own name left out. People wrote both, and neither was made for this. The pages' licences differ; nothing of them
ships. Needs dpkg-deb.
"""

import argparse
import gzip
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGES = 250  # of a language, at most
BODY = (300, 1000)  # characters
_KEPT = re.compile(r"^\.(?:B|I|BR|IR|RB|RI|BI|IB|SM|Nm|Nd|Pa|Ar|Fl|Xr|Em|Sy|Dq|Li)\s+(.*)$")
_FONT = re.compile(r"\\f(?:\[[^\]]*\]|\(..|.)|\\s[+-]?\d|\\[&|^%]|\\\*\([a-zA-Z]{2}")
_NAME = re.compile(r"^(.{1,80}?)\s+(?:-|\\-|--|—|–|\\\(em|\\\(hy)\s*(.+)$")


def plain(line: str) -> str:
    """A line's text without roff's marks; "" for a request that has none."""
    if line.startswith((".", "'")):
        kept = _KEPT.match(line)
        line = kept[1].replace('"', "") if kept else ""
    line = _FONT.sub("", line).replace("\\-", "-").replace("\\e", "\\").replace("\\ ", " ").replace("\\(em", "—")
    return re.sub(r"\\\((?:..)|\\\[[^\]]*\]", "", line).strip()


def sections(source: str) -> Iterator[str]:
    """What stands under each heading."""
    yield from re.split(r"^\.S[Hh].*$", source, flags=re.MULTILINE)[1:]


def pair(source: str) -> tuple[str, str] | None:
    """The description of a page and its body; None for a page that is too short or says nothing of itself."""
    parts = list(sections(source))
    if len(parts) < 2:
        return None
    name = _NAME.match(" ".join(filter(None, map(plain, parts[0].splitlines()))))
    body = " ".join(filter(None, (plain(line) for part in parts[1:] for line in part.splitlines())))[: BODY[1]]
    if not name or len(name[2]) < 8 or len(body) < BODY[0] or name[2] in body:
        return None
    return name[2], body


def pages(package: Path) -> Iterator[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
        for file in sorted(Path(folder).rglob("*.gz")):
            if "/man" in str(file.parent) and not file.is_symlink():
                try:
                    found = pair(gzip.decompress(file.read_bytes()).decode("utf-8"))
                except (UnicodeDecodeError, OSError):
                    continue
                if found:
                    yield found


def written(package: Path, out: Path) -> None:
    name = package.name.partition("_")[0]
    docs: list[dict[str, Any]] = []
    queries: list[dict[str, Any]] = []
    seen: set[str] = set()
    for question, body in pages(package):
        if question in seen or body[:200] in seen:
            continue
        seen |= {question, body[:200]}
        queries.append({"id": f"{name}-{len(docs)}", "q": question, "doc": len(docs), "impossible": False})
        docs.append({"id": len(docs), "title": "", "text": body})
    step = -(-len(docs) // PAGES)
    kept = {doc["id"] for doc in docs[::step]}
    for part, rows, key in (("docs", docs, "id"), ("queries", queries, "doc")):
        lines = [json.dumps(row, ensure_ascii=False) for row in rows if row[key] in kept]
        (out / f"{name}_{part}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{name}: {len(kept)} pages of {len(docs)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("packages", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for package in options.packages:
        written(package, options.out)
