"""Odds that a model is right, and that another one would do no better: fitted on recorded outcomes, kept in a folder.

From the question, from the answer too, and from other cheap opinions besides. On disk: `odds.npz` (float32, no pickle),
`sides.json` (whose each fit is) and the manifest that seals both.
"""

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from trimtab.encode.sealed import opened, seal
from trimtab.errors import ConfigError
from trimtab.odds import answer, question, side, subject, words
from trimtab.odds.opinion import Prospect, prospect
from trimtab.odds.outcomes import Outcome
from trimtab.odds.ridge import PARTS, Matrix, Ridge
from trimtab.odds.side import Side

FILES = ["odds.npz", "sides.json"]
FIX = "Make it again with `trimtab route train`."
FEATURES = 2
"""The version of what is known of a question; odds of another one are not read."""
LEAST = 100
"""Labelled outcomes under which a model gets no odds of its own."""
DIMS = 384
PLAIN = (DIMS, len(question.NAMES), words.SLOTS)
QUERY = (subject.SUBJECTS, subject.FIELDS, *PLAIN)


class Key(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whose odds: of `model`, against `other` ("" counts as always right), once it `said` something, after `opinions`.

    An opinion is a model's name; `name#2` is a second sample of that model.
    """

    model: str
    other: str = ""
    said: bool = False
    opinions: tuple[str, ...] = ()


class Odds(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The fits, and for those with opinions what the last of these was to tell."""

    sides: dict[Key, Side]
    prospects: dict[Key, Prospect]

    def side(self, model: str, other: str = "", *, said: bool = False, opinions: tuple[str, ...] = ()) -> Side | None:
        """The fit against `other`, else the one against a model that is always right; None where there is neither."""
        return self.sides.get(self.key(model, other, said=said, opinions=opinions))

    def key(self, model: str, other: str = "", *, said: bool = False, opinions: tuple[str, ...] = ()) -> Key:
        """As `side` finds it; against one that is always right where the other's outcomes are not known."""
        found = Key(model, other, said, opinions)
        return found if found in self.sides else Key(model, "", said, opinions)

    def after(self, key: Key, opinions: tuple[str, ...]) -> Key | None:
        """The key with one opinion more, in the order of `opinions`; None where none is left, or no odds weigh it."""
        count = len(key.opinions)
        found = msgspec.structs.replace(key, opinions=chain(key.model, opinions)[: count + 1])
        return found if len(found.opinions) > count and found in self.prospects else None

    def models(self, *, said: bool) -> dict[str, int]:
        """The models of which there are odds, with the outcomes that these are from."""
        return {key.model: one.rows for key, one in self.sides.items()
                if key.said == said and not key.other and not key.opinions}  # fmt: skip

    @classmethod
    def load(cls, folder: Path) -> "Odds":
        """Read and check. Raises `ConfigError` where a file is missing, changed or not what this version reads."""
        if opened(folder, FILES, FIX).get("features") != FEATURES:
            raise ConfigError(f"The odds in {folder} are of another version of Trimtab.", FIX)
        try:
            kept = msgspec.json.decode((folder / "sides.json").read_bytes(), type=list[tuple[Key, Prospect | None]])
            with np.load(folder / "odds.npz", allow_pickle=False) as arrays:
                found = {name: arrays[name].astype(float) for name in arrays.files}
            return cls(
                sides={key: _side(found, at, key) for at, (key, _) in enumerate(kept)},
                prospects={key: told for key, told in kept if told},
            )
        except (ValueError, KeyError, TypeError, zipfile.BadZipFile, msgspec.MsgspecError) as error:
            raise ConfigError(f"The odds in {folder} cannot be used ({error!r}).", FIX) from error

    def save(self, folder: Path, facts: dict[str, Any]) -> None:
        """Write the folder and seal it with `facts` (data, rows, how made)."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {}
        for at, one in enumerate(self.sides.values()):
            arrays |= {f"{at}.{part}": getattr(one.ridge, part).astype(np.float32) for part in PARTS}
            arrays[f"{at}.lines"] = np.array([one.offset, *one.right], np.float32)
            arrays[f"{at}.held"] = one.held.astype(np.float32)
        np.savez_compressed(folder / "odds.npz", **arrays)
        named = [(key, self.prospects.get(key)) for key in self.sides]
        (folder / "sides.json").write_bytes(msgspec.json.encode(named))
        seal(folder, FILES, {"features": FEATURES, **facts})


def plain(gist: Matrix, asked: str) -> Matrix:
    """(PLAIN,) of one question and its gist: what the subjects are told from."""
    return np.concatenate([gist, question.facts(asked), words.hashed(asked)]).astype(float)


def features(gist: Matrix, asked: str) -> Matrix:
    """(QUERY,) of one question and its gist: the chances of its subjects, and what they are told from."""
    row = plain(gist, asked)[None]
    return np.concatenate([*subject.shipped().chances(row), row], 1)[0]


def seen(query: Matrix, asked: str, said: str | None, opinions: Sequence[str | None] = ()) -> Matrix:
    """`features` with those of an answer before them, and before these those of each opinion."""
    others = [answer.second(asked, said, other, opinions[:at]) for at, other in enumerate(opinions)]
    return np.concatenate([*others, answer.facts(asked, said), query]).astype(float)


def agreed(rows: Matrix, opinion: int) -> Matrix:
    """(n, d) of `seen` to (n,): whether that opinion, the first is 0, ended in the same answer."""
    return rows[:, opinion * len(answer.SECOND)]


def chain(model: str, opinions: tuple[str, ...]) -> tuple[str, ...]:
    """The opinions that a model's answer may have: no model is its own, but a second sample of it is."""
    return tuple(one for one in opinions if one != model)


def blocks(*, said: bool, opinions: int) -> tuple[int, ...]:
    """The widths of the groups of features."""
    return (*(len(answer.SECOND),) * opinions, *((len(answer.NAMES),) if said else ()), *QUERY)


def options(own: int) -> list[tuple[int, ...]]:
    """What is tried beside all blocks, of which the first `own` are of answer and opinions: these with subject, with
    subject and field, with all else that is known of the question, and alone."""
    first = tuple(range(own))
    more = ((0,), (0, 1), (2, 3, 4), *([()] if own else []))
    return [(*first, *(own + at for at in one)) for one in more]


def train(outcomes: Sequence[Outcome], gists: Matrix, opinions: tuple[str, ...] = ()) -> Odds:
    """Odds of every model with `LEAST` outcomes or more, alone and against each model that is right more often.

    With its answers, and with `opinions` one after the other, where so many were recorded. `gists` (n, 384) in the
    order of `outcomes`. Raises `ConfigError` where no model has enough, or for an opinion that no row has.
    """
    queries = [features(one, outcome.question) for one, outcome in zip(gists, outcomes, strict=True)]
    sides: dict[Key, Side] = {}
    prospects: dict[Key, Prospect] = {}
    for key in _keys(outcomes, opinions):
        rows = [at for at, one in enumerate(outcomes) if _has(one, key)]
        if len(rows) < LEAST:
            continue
        chosen = [outcomes[at] for at in rows]
        made = rows_of(chosen, [queries[at] for at in rows], key)
        small = np.array([one.right[key.model] for one in chosen])
        large = np.array([one.right[key.other] for one in chosen]) if key.other else None
        own = len(key.opinions) + key.said
        widths = blocks(said=key.said, opinions=len(key.opinions))
        sides[key] = found = side.fitted(made, small, large, widths, options(own))
        if key.opinions:
            earlier = msgspec.structs.replace(key, opinions=key.opinions[:-1])
            before = _held(sides[earlier], [at for at, one in enumerate(outcomes) if _has(one, earlier)], rows)
            prospects[key] = prospect(before, agreed(made, len(key.opinions) - 1), found.held[:, 0])
    if not sides:
        raise ConfigError(f"No model has {LEAST} outcomes or more.", "Label more answers; 100 to 300 a model will do.")
    return Odds(sides=sides, prospects=prospects)


def _keys(outcomes: Sequence[Outcome], opinions: tuple[str, ...]) -> Iterator[Key]:
    """All that could be fitted, what has seen less before what has seen more."""
    if lost := [name for name in opinions if not any(name in one.answers for one in outcomes)]:
        raise ConfigError(f"No row has an answer of {', '.join(lost)}.", "Opinions are learnt from `answers`.")
    names = sorted({name for outcome in outcomes for name in outcome.right})
    for name in names:
        better = ["", *(other for other in names if other != name and _better(outcomes, name, other))]
        others = chain(name, opinions)
        for other in better:
            yield Key(name, other)
            yield from (Key(name, other, True, others[:count]) for count in range(len(others) + 1))


def _better(outcomes: Sequence[Outcome], name: str, other: str) -> bool:
    """Whether another model was right more often, on the questions that both were asked."""
    pairs = [(one.right[name], one.right[other]) for one in outcomes if name in one.right and other in one.right]
    return len(pairs) >= LEAST and sum(b - a for a, b in pairs) > 0


def _has(one: Outcome, key: Key) -> bool:
    known = key.model in one.right and (not key.other or key.other in one.right)
    return known and (not key.said or all(name in one.answers for name in (key.model, *key.opinions)))


def rows_of(outcomes: Sequence[Outcome], queries: Sequence[Matrix], key: Key) -> Matrix:
    """(n, d) of outcomes that have all that `key` sees."""
    if not key.said:
        return np.stack(queries)
    return np.stack([
        seen(query, one.question, one.answers[key.model], [one.answers[name] for name in key.opinions])
        for query, one in zip(queries, outcomes, strict=True)
    ])  # fmt: skip


def _held(earlier: Side, rows: Sequence[int], wanted: Sequence[int]) -> Matrix:
    """The left-out scores of an earlier fit on the rows that a later one has too."""
    place = {row: at for at, row in enumerate(rows)}
    return earlier.held[[place[row] for row in wanted], 0]


def _side(arrays: dict[str, Matrix], at: int, key: Key) -> Side:
    lines, held = arrays[f"{at}.lines"], arrays[f"{at}.held"]
    ridge = Ridge(**{part: arrays[f"{at}.{part}"] for part in PARTS})
    width = sum(blocks(said=key.said, opinions=len(key.opinions)))
    if ridge.weights.shape != (width, 2) or ridge.centre.shape != (width,) or ridge.spread.shape != (width,):
        raise ValueError(f"{key} has features of another version")
    if lines.shape != (3,) or held.ndim != 2 or held.shape[1] != 3:
        raise ValueError(f"{key} lacks its lines or its left-out rows")
    offset, *right = map(float, lines)
    return Side(ridge=ridge, offset=offset, right=(right[0], right[1]), rows=len(held), held=held)
