"""How far a prediction may be off: an interval as wide as others of its sort were wrong, from rows that no fit saw.

An error is held against its expected size, which follows from facts of the run (a mixture of experts, no GPU, a small
model ...), so that what is easy has a narrow interval and what is hard a wide one. What is new is a device or a model:
each way has its own edges. The share between them is raised until edges made without a group hold four in five of it.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

SHARE = 0.8
ALONE = (1 + SHARE) / 2
"""Of a single group: nothing says how far others differ from it."""
GRID = tuple(0.76 + 0.01 * n for n in range(23))
LEAST, RIDGE, FURTHEST = 0.03, 0.05, 1.0
"""Added to an error before its logarithm; pull of each fact to 0; how far facts move the size, in logarithms."""
WIDER = 2.0
"""How much wider an interval is (as a power) outside of what was fitted."""
TRUSTS = (0.0, 0.25, 0.5, 0.75, 1.0)
NEARLY, SURELY = 1.03, 1.1
"""How much worse the least trust of a probe of another model may serve, and the most trust of one of the same model:
what was measured should be what is said, where that does little harm."""
Edges = tuple[float, float]
New = Literal["device", "model", "other", "same"]
"""What is new to the fit: the device, or (the device being known) the model. After a probe of the device nothing but
what the probe ran: an `other` model, or the `same` one."""


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """Facts' weights (the constant first), the edges of an error of size 1 by what is new, in logarithms of measured
    over predicted, and how much of a probe's ratio counts (a power, 0 to 1)."""

    size: tuple[float, ...]
    edges: Mapping[New, Edges]
    trust: Mapping[New, float] = {}

    def factors(self, facts: Sequence[float], new: New, *, known: bool = True) -> Edges:
        """On a prediction, below and above, for four in five; outside of what was fitted facts make it no surer."""
        about = sized(self.size, facts)
        about = about if known else WIDER * max(1.0, about)
        low, high = self.edges[new]
        return math.exp(low * about), math.exp(high * about)


class Rows(msgspec.Struct, frozen=True):
    """log(measured / predicted) of held-out rows, the facts of each, and the group that was left out with it."""

    errors: Sequence[float]
    facts: Sequence[Sequence[float]]
    groups: Sequence[str]


def sized(weights: Sequence[float], facts: Sequence[float]) -> float:
    """The expected size of an error, 1 on average."""
    constant, *rest = weights
    found = constant + sum(weight * fact for weight, fact in zip(rest, facts, strict=True))
    return math.exp(max(-FURTHEST, min(FURTHEST, found)))


def made(ways: Mapping[New, Rows]) -> Doubt:
    """The doubt that follows from errors with devices held out and with models held out."""
    size = _size([rows for rows in ways.values() if len(rows.errors)])
    return Doubt(size=size, edges={new: edges(rows, size) for new, rows in ways.items() if len(rows.errors)})


def edges(rows: Rows, size: Sequence[float]) -> Edges:
    """The edges of an error of size 1."""
    import numpy as np

    errors = np.array(rows.errors) / np.array([sized(size, facts) for facts in rows.facts])
    weight, groups, tails = np.array(_weights(rows.groups)), np.array(rows.groups), (1 - np.array(GRID)) / 2
    held, counted = np.zeros(len(GRID)), 0.0
    for group in sorted(set(rows.groups)):
        out = groups == group
        if out.all():
            continue
        low, high = (_quantiles(errors[~out], weight[~out], at) for at in (tails, 1 - tails))
        inside = (errors[out, None] >= low) & (errors[out, None] <= high)
        held += weight[out] @ inside
        counted += weight[out].sum()
    enough = [share for share, one in zip(GRID, held, strict=True) if one >= SHARE * counted]
    tail = (1 - ((enough or GRID[-1:])[0] if counted else ALONE)) / 2
    low, high = _quantiles(errors, weight, np.array([tail, 1 - tail]))
    return round(float(low), 4), round(float(high), 4)


def probed(
    rows: Rows, probes: Sequence[Sequence[int]], size: Sequence[float], same: bool
) -> tuple[float, Edges]:  # fmt: skip
    """How much of a probe's ratio counts, and the edges then: of rows alike (their indices) the middle one is the probe
    of the others. A ratio is of one row, with that row's own error: taken whole it can do more harm than good."""
    import numpy as np

    pairs = paired(probes)
    others = [index for index, _ in pairs]
    groups = [rows.groups[index] for index in others]
    left = {trust: [rows.errors[a] - trust * rows.errors[b] for a, b in pairs] for trust in TRUSTS}
    loss = {trust: float(np.array(_weights(groups)) @ np.abs(errors)) for trust, errors in left.items()}
    good = [trust for trust in TRUSTS if loss[trust] <= (SURELY if same else NEARLY) * min(loss.values())]
    best = max(good) if same else min(good)
    return best, edges(Rows(left[best], [rows.facts[index] for index in others], groups), size)


def paired(probes: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """Each row with its probe, the middle one of those alike; the probe itself is not counted."""
    pairs = ((index, alike[len(alike) // 2]) for alike in probes for index in alike)
    return [(index, probe) for index, probe in pairs if index != probe]


def _size(ways: Sequence[Rows]) -> tuple[float, ...]:
    """Ridge regression of the logarithm of an error's size on the facts; each way counts the same."""
    import numpy as np

    facts = np.array([row for rows in ways for row in rows.facts], dtype=float)
    wanted = np.log(np.abs([error for rows in ways for error in rows.errors]) + LEAST)
    weight = np.array([one for rows in ways for one in _weights(rows.groups)])
    weight *= len(weight) / weight.sum()
    middle = facts.mean(0)
    moved = np.hstack([np.ones((len(facts), 1)), facts - middle])
    pull = np.eye(moved.shape[1]) * RIDGE * len(weight)
    pull[0, 0] = 0.0
    found: Any = np.linalg.solve(moved.T @ (weight[:, None] * moved) + pull, moved.T @ (weight * wanted))[1:]
    return tuple(round(float(one), 4) for one in (-found @ middle, *found))


def _weights(groups: Sequence[str]) -> list[float]:
    """Of each row, 1 in all: between counting rows and counting groups, by the root of a group's rows."""
    rows = Counter(groups)
    whole = sum(count**0.5 for count in rows.values())
    return [rows[group] ** -0.5 / whole for group in groups]


def _quantiles(values: Any, weight: Any, shares: Any) -> Any:
    """The values below which shares of the weight lie."""
    import numpy as np

    order = np.argsort(values)
    sums = np.cumsum(weight[order])
    at = np.searchsorted(sums / sums[-1], shares - 1e-12)
    return values[order][np.minimum(at, len(values) - 1)]
