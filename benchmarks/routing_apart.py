"""Recorded outcomes that no router was trained on: the files of `benchmarks/routing.py --data DIR`.

A pair of models of which a training file has outcomes too is scored by routers trained on that pair; any other pair by
routers trained on all pairs of the table together, of which none is it. Questions that are in both are left out of the
training. What is not scored is said, and why.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from routing_data import CASES, Case, Embedded, case, heard_of, of, part, with_opinions, written
from routing_rows import OUTCOME, Row, rows_of

Fit = Callable[[Case, tuple[str, ...]], Any]
About = dict[str, Any]
OPINIONS, LEAST = 2, 100
"""Opinions of a pair that the table does not name; rows that must teach a router of its own."""
GSM8K, OPINION = "RouteLLM-GSM8K", "gemma-2-2b-it"


class Tested(NamedTuple):
    """What is scored of a file; `kind` is the case of the table whose models it has, "" for none."""

    case: Case
    about: About
    kind: str


def cases(folder: Path, cache: Path, most: int, pair: str) -> dict[str, Tested]:
    """Each pair of models that can be scored, by its name."""
    found, embedded = dict[str, Tested](), Embedded(cache)
    for path in sorted(folder.glob("*.parquet")):
        if not (rows := rows_of(path, most)):
            continue
        for name, kind, about in abouts(path, rows, pair):
            mine = rows
            if kind == GSM8K:
                mine = with_opinions(rows, heard_elsewhere(folder), OPINION)
            both = [row for row in mine if None not in (of(row, about["small"]), of(row, about["large"]))]
            if why := unscored(both, about):
                print(f"Skipped {name}: {why}.")
                continue
            for lack in lacks(both, len(rows), about):
                print(f"{name}: {lack}.")
            found[name] = Tested(case(both, about, embedded), about, kind)
    return found


def heard_elsewhere(folder: Path) -> list[Row]:
    """The rows of whatever file has the opinion on sums."""
    return [row for path in sorted(folder.glob("*.parquet")) for row in rows_of(path, 10**6, lambda _: None)
            if row.get(f"text:{OPINION}")]  # fmt: skip


def abouts(path: Path, rows: list[Row], pair: str) -> Iterable[tuple[str, str, About]]:
    """Name, kind and models of what is scored: the pair that is asked for, else the table's, else weakest and best."""
    shares, stem, known = models(rows), path.stem, dict[tuple[str, str], str]()
    for name, about in CASES.items():
        two = (about["small"], about["large"])
        if shares.keys() >= {*two} and (pair in ("", ":".join(two))):
            known[two] = max(known.get(two, name), name, key=lambda one: likeness(CASES[one], stem, rows))
    if known:
        for kind in known.values():
            yield kind if CASES[kind]["file"] == stem else f"{kind} ({stem})", kind, CASES[kind]
        return
    small, _, large = pair.partition(":")
    if not pair and len(shares) > 1:
        written = [name for name in shares if any(row.get(f"text:{name}") for row in rows)] or list(shares)
        small = min(written, key=lambda name: shares[name])
        large = max((name for name in shares if name != small), key=lambda name: shares[name])
    if lost := {small, large} - shares.keys():
        named = f"no outcomes of {', '.join(sorted(lost))}" if pair else "outcomes of fewer than two models"
        print(f"Skipped {path.name}: it has {named}; it has some of: {', '.join(shares) or 'none'}.")
        return
    others = sorted((name for name in shares if name not in (small, large)
                     and any(row.get(f"text:{name}") for row in rows)), key=lambda name: shares[name])  # fmt: skip
    yield f"{stem}: {small} to {large}", "", {"small": small, "large": large, "opinions": tuple(others[:OPINIONS])}


def likeness(about: About, stem: str, rows: list[Row]) -> tuple[bool, int]:
    """How much a file looks like that of a case: by its name, else by the columns of text and label."""
    return about["file"] == stem, sum(column in rows[0] for column in (about.get("label", ""), written(about)))


def models(rows: list[Row]) -> dict[str, float]:
    """The models with outcomes, and how often each was right."""
    names = [column.removeprefix(OUTCOME) for column in rows[0] if column.startswith(OUTCOME)]
    known = {name: [mark for row in rows if (mark := of(row, name)) is not None] for name in names}
    return {name: float(np.mean(marks)) for name, marks in known.items() if marks}


def unscored(rows: list[Row], about: About) -> str:
    """Why no share of a gap can be told; "" where it can."""
    small, large = about["small"], about["large"]
    if not rows:
        return f"no row has the outcomes of both {small} and {large}"
    right = {name: sum(of(row, name) for row in rows) for name in (small, large)}
    if right[large] > right[small]:
        return ""
    return (f"there is no gap to win: on {len(rows)} rows {large} is right {right[large]:g} times, "
            f"{small} {right[small]:g}")  # fmt: skip


def lacks(rows: list[Row], count: int, about: About) -> Iterable[str]:
    """What is missing beside the outcomes."""
    if len(rows) < count:
        yield f"{count - len(rows)} of {count} rows lack an outcome of {about['small']} or {about['large']}"
    if not (there := [row for row in rows if row.get(written(about))]):
        yield f"there is no text of {about['small']}, so that only the question is seen"
        return
    if len(there) < len(rows):
        yield f"{len(rows) - len(there)} of {len(rows)} rows have no text of {about['small']}: an empty answer there"
    told = heard_of(rows, about)
    if rest := about.get("opinions", ())[len(told) :]:
        yield f"there is nothing of {rest[0]}, so that {len(told)} opinions are heard"
    for model in told:
        silent = sum(not (row.get(f"text:{model}") or row.get(f"pred:{model}")) for row in rows)
        if silent:
            yield f"{silent} of {len(rows)} rows have nothing of {model}: no opinion there"


def taught(tested: Tested, asked: Any, table: dict[str, Case]) -> tuple[list[Case], str]:
    """The training cases of what is tested, and a word on them: of its own pair if there are some.

    Of all pairs together each gives at most `--rows`, so that none outvotes the others.
    """
    if tested.kind in table:
        return [table[tested.kind]], ""
    for path in sorted(asked.train.glob("*.parquet")):
        rows = rows_of(path, asked.taught, lambda _: None)
        two = [row for row in rows if None not in (of(row, tested.about["small"]), of(row, tested.about["large"]))]
        if len(two) >= LEAST:
            return [case(two, tested.about, Embedded(asked.cache))], f"taught by {path.name}"
    return [part(one, np.argsort(one["mark"])[: asked.rows]) for one in table.values()], "pair unseen"


def scored(test: Case, given: list[Case], blocks: tuple[str, ...], fit: Fit, joined: Any) -> Any:
    """(ranks, P(the small one is right)) for `test`; a sentence where nothing to train on has the blocks."""
    if lost := [block for block in blocks if block not in test]:
        return f"the file has no {' and no '.join(lost)}"
    marks = {*test["mark"].tolist()}
    if not (given := [one for one in given if all(block in one for block in blocks)]):
        return "no training file has what it sees"
    given = [part(one, np.array([mark not in marks for mark in one["mark"].tolist()])) for one in given]
    given = [one for one in given if len(one["small"])]
    if sum(len(one["small"]) for one in given) < LEAST:
        return f"fewer than {LEAST} other questions to train on"
    names = ("small", "large", *blocks)
    made = fit({name: np.concatenate([one[name] for one in given]) for name in names}, blocks)
    rows = joined(test, blocks)
    return made.ranks(rows), made.chance(rows)
