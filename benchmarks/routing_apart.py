"""Recorded outcomes that no router was trained on: the files of `benchmarks/routing.py --data DIR`.

A pair of models that the training files have too is scored by routers trained on that pair; any other pair of a file by
routers trained on all pairs together, none of whose labels is of these models or tasks. Questions that are in both are
left out of the training.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from routing_data import CASES, Case, Embedded, Row, case, marked, of, part, rows_of, with_opinions

Fit = Callable[[Case, tuple[str, ...]], Any]
OPINIONS = 2


def cases(folder: Path, cache: Path, most: int, pair: str) -> dict[str, tuple[Case, str]]:
    """Each case of the folder, by its name, and the name of the training case whose models it has; "" for none."""
    found, embedded = dict[str, tuple[Case, str]](), Embedded(cache)
    for path in sorted(folder.glob("*.parquet")):
        rows = rows_of(path, most)
        if not rows:
            continue
        for name, about in abouts(path.stem, rows, pair):
            if name == "RouteLLM-GSM8K":
                rows = with_opinions(rows, rows_of(folder / "zeroeval_gsm_math_crux.parquet", 10**6), "gemma-2-2b-it")
            both = [row for row in rows if None not in (of(row, about["small"]), of(row, about["large"]))]
            if both:
                found[name] = case(both, about, embedded), name if name in CASES else ""
    return found


def abouts(stem: str, rows: list[Row], pair: str) -> Iterable[tuple[str, dict[str, Any]]]:
    """What is scored of a file: the known pairs that it has, else the pair that is named, else its weakest and best."""
    known = [(name, about) for name, about in CASES.items()
             if {about["small"], about["large"]} <= models(rows).keys() and not pair]  # fmt: skip
    if known:
        mine = [one for one in known if one[1]["file"] == stem]
        yield from mine or known[:1]
        return
    shares = models(rows)
    small, _, large = pair.partition(":")
    if not pair:
        written = [name for name in shares if f"text:{name}" in rows[0]] or list(shares)
        small, large = min(written, key=lambda name: shares[name]), max(shares, key=lambda name: shares[name])
    if small in shares and large in shares and small != large:
        others = sorted((name for name in shares if f"text:{name}" in rows[0] and name not in (small, large)),
                        key=lambda name: shares[name])  # fmt: skip
        yield f"{stem}: {small} to {large}", {"small": small, "large": large, "opinions": tuple(others[:OPINIONS])}


def models(rows: list[Row]) -> dict[str, float]:
    """The models with outcomes, and how often each was right."""
    names = [name.removeprefix("ok:") for name in rows[0] if name.startswith("ok:")]
    names += [name for about in CASES.values() for name in (about["small"], about["large"]) if name in rows[0]]
    known = {
        name: [float(said) for row in rows if (said := of(row, name)) is not None] for name in dict.fromkeys(names)
    }
    return {name: float(np.mean(marks)) for name, marks in known.items() if marks}


def scored(test: Case, kind: str, train: dict[str, Case], blocks: tuple[str, ...], fit: Fit, joined: Any) -> Any:
    """(ranks, P(the small one is right)) for `test`; None where nothing to train on has the blocks."""
    if not all(block in test for block in blocks):
        return None
    asked = {marked(one) for one in test["asked"]}
    given = [train[kind]] if kind in train else list(train.values())
    given = [one for one in given if all(block in one for block in blocks)]
    given = [part(one, np.array([marked(said) not in asked for said in one["asked"]])) for one in given]
    given = [one for one in given if len(one["small"])]
    if not given:
        return None
    names = ("small", "large", *blocks)
    made = fit({name: np.concatenate([one[name] for one in given]) for name in names}, blocks)
    rows = joined(test, blocks)
    return made.ranks(rows), made.chance(rows)
