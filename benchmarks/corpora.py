"""Documents and questions about them: every pair of files NAME_docs.jsonl, NAME_queries.jsonl of a folder.

A document has an `id` and a `text`, and may have a `title`. A question has its words `q` and its `doc`, an id. If a
reader is to be measured it has `answers` with their `starts` in the document's text (without `starts` they count
wherever they stand there), or `impossible` where the document has no answer. The rows of SQuAD
2.0's development set that something here was chosen or trained on are known by what they say, in whatever file.

    python benchmarks/corpora.py DIR        # notes them in squad_seen.npz
"""

import json
import re
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import given
from given import Row
from trimtab.encode.encoder import SPAN

SEEN = Path(__file__).with_name("squad_seen.npz")
"""Its questions, and the paragraphs of the span head's articles by part."""


class Corpus(NamedTuple):
    """What there is: of a question `doc` is its document's place in `docs`, an int."""

    name: str
    docs: list[Row]
    queries: list[Row]


def corpora(folder: Path, check: Callable[[Row, Row], str] = lambda *_: "") -> list[Corpus]:
    """The pairs of files in a folder, or in its folder `retrieval`.

    `check` says what else is wrong with a question of a document, or nothing. Raises `SystemExit` with the file, the
    line and the fault of a broken row.
    """
    places = [place for place in (folder, folder / "retrieval") if place.is_dir()]
    files = sorted(file for place in places for file in place.glob("*_docs.jsonl"))
    return [_corpus(file, check) for file in files if _queries(file).is_file()]


def no_answer(query: Row) -> bool:
    """Whether its document has none."""
    return bool(query.get("impossible")) or query.get("answers") == []


def answers(query: Row, doc: Row) -> dict[str, Any]:
    """The answers of a question and where each begins (without `starts`: wherever it stands), or that there is none."""
    if no_answer(query):
        return {"answers": [], "starts": [], "impossible": True}
    said = query["answers"]
    if query.get("starts") is not None:
        return {"starts": query["starts"], "impossible": False}
    places = [(one, at.start()) for one in dict.fromkeys(said) for at in re.finditer(re.escape(one), doc["text"])]
    return {"answers": [one for one, _ in places], "starts": [at for _, at in places], "impossible": False}


def marked(query: Row, doc: Row) -> str:
    """What is wrong with the answers of a question, or nothing."""
    said, starts = query.get("answers"), query.get("starts")
    if no_answer(query) or said is None:
        return ""
    if not (isinstance(said, list) and all(isinstance(one, str) and one for one in said)):
        return f"`answers` is {said!r:.60}, not a list of texts"
    if starts is None:
        return next(
            (f"the answer {one!r:.60} does not stand in its document" for one in said if one not in doc["text"]), ""
        )
    if not (isinstance(starts, list) and len(starts) == len(said) and all(type(at) is int for at in starts)):
        return f"`starts` is {starts!r:.60}, not a number for each answer"
    away = (one for one, at in zip(said, starts, strict=True) if at < 0 or not doc["text"].startswith(one, at))
    return next((f"the answer {one!r:.60} does not start where `starts` says" for one in away), "")


def title(doc: Row) -> str:
    return str(doc.get("title") or "").replace("_", " ")


def looked_at(question: str) -> bool:
    """Whether it is one of SQuAD's."""
    return given.number(question) in given.seen(SEEN, "questions")


def part(doc: Row) -> str:
    """What the span head has of it: `train`, `calibrate`, or nothing; by its article's title, or by its text."""
    known = given.number(doc["text"])
    of = (part for part, titles in articles().items() if title(doc) in titles or known in given.seen(SEEN, part))
    return next(of, "")


@cache
def articles() -> dict[str, frozenset[str]]:
    """What the span head was trained on and what its constants are fitted on, by their titles."""
    read = json.loads((SPAN / "manifest.json").read_text("utf-8"))["articles"]
    return {part: frozenset(title({"title": one}) for one in titles) for part, titles in read.items()}


def _queries(docs: Path) -> Path:
    return docs.with_name(docs.name.replace("_docs.jsonl", "_queries.jsonl"))


def _corpus(file: Path, check: Callable[[Row, Row], str]) -> Corpus:
    places: dict[str, int] = {}

    def new(row: Row) -> str:
        if row.get("id") is None or str(row["id"]) in places:
            return f"`id` is {row.get('id')!r}, which is none or another document's"
        places[str(row["id"])] = len(places)
        return ""

    def known(row: Row) -> str:
        if (at := places.get(str(row.get("doc")))) is None:
            return f"no document of {file.name} has the id {row.get('doc')!r}"
        return check(row, docs[at])

    docs = given.rows(file, "text", check=new)
    queries = [{**row, "doc": places[str(row["doc"])]} for row in given.rows(_queries(file), "q", check=known)]
    return Corpus(file.name.removesuffix("_docs.jsonl"), docs, queries)


def main(argv: Sequence[str]) -> None:
    (squad,) = (corpus for corpus in corpora(Path(argv[0])) if corpus.name == "squad2")
    noted: dict[str, list[Any]] = {"questions": [query["q"] for query in squad.queries]}
    noted |= {part: [doc["text"] for doc in squad.docs if title(doc) in titles] for part, titles in articles().items()}
    arrays = {what: np.array(sorted({*map(given.number, texts)}), np.uint32) for what, texts in noted.items()}
    np.savez(SEEN, **arrays)  # pyright: ignore[reportArgumentType]
    print({what: len(numbers) for what, numbers in arrays.items()})


if __name__ == "__main__":
    main(sys.argv[1:])
