"""The contract that every engine of the index keeps: `indexes_well`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from trimtab.retrieve._index import Card, Index, Piece
from trimtab.retrieve._terms import language
from trimtab.testing import ODD_TEXTS

DIMS = 8
"""Of the vectors that `indexes_well` works with."""


def indexes_well(opened: Callable[[], Index]) -> None:
    """The contract of an index of documents: `opened` opens the same empty one, whose vectors have `DIMS` numbers.

    What is taken out, replaced or not for a reader is found by no leg; another who has the index open sees it at once.
    """
    index, other = opened(), opened()
    assert (index.cards(), index.waiting()) == ({}, 0), "it is empty at first"
    assert not any((index.words("a", 5, None), index.grams("a", 5, None), index.near(_unit(0), 5, None)))
    _indexes_words(index, other)
    _indexes_readers(index, other)
    _indexes_grams(index)
    _indexes_odd(index)
    _indexes_vectors(index, other)
    _indexes_state(index, other)
    assert index.note("key") is None
    assert index.note("key", "value") == other.note("key") == "value"
    for one in (index, other):
        one.close()


def _unit(axis: int, *, also: int | None = None) -> Any:
    row = np.zeros(DIMS, np.float32)
    row[axis] = 1.0
    if also is not None:
        row[also] = 0.5
    return row / np.linalg.norm(row)


def _put(index: Index, source: str, *texts: str, readers: Sequence[str] = ("*",)) -> None:
    card = Card(source=source, title=source, kind="text", digest=f"{texts}", root="/r", readers=tuple(readers))
    ends = [sum(map(len, texts[: i + 1])) for i in range(len(texts))]
    index.put(card, [Piece(end - len(text), end, source, text, language(" ".join(texts)))
                     for text, end in zip(texts, ends, strict=True)])  # fmt: skip


def _sources(index: Index, scores: Mapping[int, float], reader: str | None = None) -> list[str]:
    assert list(scores.values()) == sorted(scores.values(), reverse=True), "best first"
    return [passage.source for passage in index.passages(dict(scores), reader)]


def _indexes_words(index: Index, other: Index) -> None:
    _put(index, "a.md", "The pilots board the ships at the outer buoy.", "A crane lifts forty tonnes.")
    _put(index, "b.md", "The berth is free in winter.")
    found = other.words("boarding a pilot", 5, None)
    assert _sources(other, found) == ["a.md"], "by the stems of its words"
    (passage,) = other.passages(found, None)
    assert (passage.text, passage.start, passage.end) == ("The pilots board the ships at the outer buoy.", 0, 45)
    assert passage.near is None
    assert [one.near for one in other.passages(found, None, dict.fromkeys(found, 0.5))] == [0.5], "how near, where told"
    assert _sources(other, other.words("b", 5, None)) == ["b.md"], "by its title"
    assert len(other.words("the pilots crane berth", 2, None)) == 2, "no more than asked for"
    card = other.cards()["a.md"]
    assert (card.chunks, card.readers, card.root, card.origin) == (2, ("*",), "/r", "added")
    assert card.at > 0
    assert other.languages() == {"english": 3}
    assert len(other.sample("english", 2)) == 2
    assert other.sample("english", 3) == index.sample("english", 3)
    assert not other.sample("thai", 3)
    _put(index, "a.md", "Tugs help in a storm.")
    assert other.words("pilot", 5, None) == {}, "replaced as a whole"
    assert other.passages(found, None) == []
    index.drop(["a.md", "never.md"])
    assert list(other.cards()) == ["b.md"]
    assert other.words("tugs", 5, None) == {}
    index.drop(["b.md"])


def _indexes_readers(index: Index, other: Index) -> None:
    for i in range(6):
        _put(index, f"secret{i}.md", "The merger, the merger: ความลับ.", readers=("alice", "carol"))
    _put(index, "open.md", "A word on the merger and the ความลับ.")
    _teach(index, {"secret": _unit(1), "open": _unit(1, also=2)})
    legs = (
        lambda reader, k: other.words("the merger", k, reader), lambda reader, k: other.grams("ความลับ", k, reader),
        lambda reader, k: other.near(_unit(1), k, reader),
    )  # fmt: skip
    for leg in legs:
        assert _sources(other, leg(None, 1))[0].startswith("secret")
        assert _sources(other, leg("alice", 1), "alice")[0].startswith("secret")
        assert _sources(other, leg("bob", 1), "bob") == ["open.md"], "access is minded in the query, not after it"
        assert other.passages(leg("alice", 1), "bob") == []
    _put(index, "secret0.md", "The merger, the merger: ความลับ.")
    assert "secret0.md" in _sources(other, other.words("the merger", 9, "bob"), "bob"), "readers can be changed"
    index.drop(list(index.cards()))


def _teach(index: Index, vectors: Mapping[str, Any]) -> None:
    while missing := index.unlearnt(3):
        rows = [next(row for name, row in vectors.items() if text.startswith(name)) for _, text in missing]
        index.learn([chunk for chunk, _ in missing], np.stack(rows))
    assert index.waiting() == 0


def _indexes_grams(index: Index) -> None:
    _put(index, "th", "ท่าเรือเปิดให้บริการตั้งแต่หกโมงเช้าถึงสี่ทุ่มทุกวัน")
    _put(index, "zh", "港口从早上六点开放到晚上十点。北京有地铁。")
    _put(index, "ja", "東京の図書館は月曜日に休みます。")
    _put(index, "de", "Die Hafengebühren werden nach der Länge des Schiffes berechnet.")
    _put(index, "en", "The harbour charges by the length of the ship.")
    for question, source in (
        ("เปิดบริการกี่โมง", "th"),
        ("北京", "zh"),
        ("図書館はいつ休みですか", "ja"),
        ("Hafengebühr", "de"),
    ):
        assert _sources(index, index.grams(question, 1, None)) == [source], question
    assert "en" not in _sources(index, index.grams("harbour charges", 5, None)), "of English none are kept"
    index.drop(["th", "de"])
    assert index.grams("เปิดบริการกี่โมง", 5, None) == {}
    assert "de" not in _sources(index, index.grams("Hafengebühr", 5, None))
    index.drop(list(index.cards()))


def _indexes_odd(index: Index) -> None:
    for i, odd in enumerate(ODD_TEXTS):
        _put(index, f"odd{i}", odd or "-", f"{odd} anchor")
        for question in ODD_TEXTS:
            index.words(question, 2, None), index.grams(question, 2, None)
    assert len(_sources(index, index.words("anchor", 99, None))) == len(ODD_TEXTS)
    index.drop(list(index.cards()))
    assert index.waiting() == 0
    assert index.languages() == {}


def _indexes_state(index: Index, other: Index) -> None:
    index.drop(list(index.cards()))
    seen = [index.state()]
    assert seen[0]
    _put(index, "s", "A text.")
    seen.append(other.state())
    _teach(index, {"s": _unit(0)})
    seen.append(other.state())
    _put(index, "s", "A text.", readers=("alice",))
    seen.append(other.state())
    index.drop(["s"])
    seen.append(other.state())
    assert index.state() == other.state()
    index.words("text", 1, None), index.note("other", "note")
    assert other.state() == seen[-1], "what is only looked at stays as it is"
    assert len(set(seen)) == len(seen)
    while index.settle():
        pass


def _indexes_vectors(index: Index, other: Index) -> None:
    for name in "abc":
        _put(index, name, f"Text {name}.")
    assert index.waiting() == 3
    assert index.near(_unit(0), 3, None) == {}
    _teach(index, {name: _unit(axis) for axis, name in enumerate("abc")})
    near = other.near(_unit(0, also=1), 2, None)
    assert _sources(other, near) == ["a", "b"]
    assert abs(next(iter(near.values())) - 2 / 5**0.5) < 0.01, "the score is the cosine"
    assert abs(other.cosines([*near, 10**9], _unit(0))[next(iter(near))] - 1) < 0.01
    assert list(other.cosines([10**9], _unit(0))) == [], "of what is not there there is no cosine"
    _put(index, "a", "Text a.")
    assert index.waiting() == 0, "the same text keeps its vector"
    chunk = next(iter(other.near(_unit(2), 1, None)))
    index.drop(["c"])
    index.learn([chunk], _unit(2)[None])
    assert "c" not in _sources(other, other.near(_unit(2), 3, None)), "what is gone is not learnt"
    index.forget()
    assert index.waiting() == 2
    assert other.near(_unit(0), 3, None) == {}
