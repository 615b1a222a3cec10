"""Why options were rejected, and which constraint, or which two together, leave none."""

import math
from collections import Counter
from itertools import combinations

from trimtab.errors import ConfigError
from trimtab.plan.option import Option

FACTS = ("memory", "private", "where", "model")
"""Reasons that are no matter of degree: what breaks them is no near miss."""


def reasons(every: list[Option]) -> dict[str, tuple[int, str]]:
    """Constraint -> how many options broke it, and the one that came nearest with its reason."""
    found: dict[str, tuple[int, str]] = {}
    for name, count in Counter(key for one in every for key in one.fails).most_common():
        broken = [one for one in every if name in one.fails]
        nearest = min(broken, key=lambda one, name=name: (_barred(one, name), len(one.fails), _distance(one, name)))
        found[name] = (count, f"{nearest.name}: {nearest.fails[name]}")
    return found


def contradiction(every: list[Option]) -> ConfigError:
    """Which constraint alone, or which two together, no option meets."""
    if not every:
        return ConfigError("Nothing was found to choose from.", "Name another place with --where.")
    facts = ({*FACTS}, {*FACTS} - {"memory"}, {"memory"}, set[str]())
    pool = next(kept for kept in ([one for one in every if not some & set(one.fails)] for some in facts) if kept)
    names = [name for name, _ in Counter(key for one in pool for key in one.fails).most_common()]
    for count in (1, 2):
        for some in combinations(names, count):
            if all(set(some) & set(one.fails) for one in pool):
                return _told(pool, some)
    return ConfigError(f"No option meets all of {', '.join(names)} at once.", "Loosen one of them.", param=names[0])


def _told(pool: list[Option], some: tuple[str, ...]) -> ConfigError:
    """For each of them the option that comes nearest: it breaks no other constraint, or as few as can be."""
    shown = []
    for name in some:
        broken = [one for one in pool if name in one.fails]
        near = min(broken, key=lambda one: (len(one.fails), _distance(one, name)))
        shown.append(f"{near.name}: {near.fails[name]}")
    what = f"{some[0]} and {some[1]} contradict each other" if len(some) == 2 else f"Nothing meets {some[0]}"
    fix = f"Loosen {' or '.join(some)}."
    if some == ("memory",):
        fix = "Take a larger device, a smaller model or a shorter context."
    return ConfigError(f"{what}. Nearest: {'; '.join(shown)}.", fix, param=some[0])


def _barred(one: Option, name: str) -> int:
    """How many facts, that no looser limit would change, stand against it beside the constraint."""
    return sum(key in FACTS for key in one.fails if key != name)


def _distance(one: Option, name: str) -> float:
    """How far it is from meeting the constraint, of options that break it: the least is the nearest."""
    dear = one.cost if one.cost is not None else math.inf
    known = {
        "quality": -(one.quality or 0.0), "first_p95": one.first_p95, "pace": -one.pace,
        "watts": one.watts or math.inf, "memory": one.memory / max(one.usable, 1.0),
    }  # fmt: skip
    return known.get(name, dear)
