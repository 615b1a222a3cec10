"""Where an item stands in a scope, by the rows of its journal alone, and where it goes next. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from trimtab.workflow.condition import holds
from trimtab.workflow.journal import Row
from trimtab.workflow.sound import branches
from trimtab.workflow.steps import AnyStep, Ask, Person, Plan

RELEASE = "(release)"
"""The scope in which a person releases an item as a whole."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """`at` is the step that has its turn, or `end` or `fail`; `open` its row where it was begun and is not over.

    `n` is the number of the next row; `outputs` holds what each step gave last; `visits` counts.
    """

    at: str
    n: int
    outputs: dict[str, Any]
    visits: dict[str, int]
    open: Row | None = None
    failed: Row | None = None


def standing(steps: tuple[AnyStep, ...], rows: Iterable[Row]) -> Standing:
    """By the rows of one scope, in the order of `n`."""
    at, outputs, visits, last = steps[0].name, dict[str, Any](), dict[str, int](), None
    for last in rows:
        visits[last.step] = visits.get(last.step, 0) + 1
        if last.state in ("begun", "waiting"):
            return Standing(at=last.step, n=last.n, outputs=outputs, visits=visits, open=last)
        outputs[last.step] = last.output
        at = last.next
    n = last.n + 1 if last else 0
    return Standing(at=at, n=n, outputs=outputs, visits=visits, failed=last if last and at == "fail" else None)


def following(steps: tuple[AnyStep, ...], step: AnyStep, context: Mapping[str, Any]) -> str:
    """Where a step that gave something leads: the first branch that holds; the last always does."""
    return next(branch.to for branch in branches(steps, step) if holds(branch.when, context))


def unreleased(rows: Iterable[Row], steps: Mapping[str, AnyStep]) -> Row | None:
    """The last internal answer of high impact that no person has looked at since, in any scope of the item.

    Whoever releases a `person` step or the item itself has seen what came before it.
    """
    found = None
    for row in sorted(rows, key=lambda row: row.seq):
        step = steps.get(row.step)
        given = row.output if isinstance(row.output, Mapping) else {}
        if row.state in ("waiting", "failed"):
            continue
        if given.get("impact") == "high" and (isinstance(step, Plan) or (isinstance(step, Ask) and step.internal)):
            found = row
        elif (isinstance(step, Ask | Person) or row.scope == RELEASE) and given.get("decided") == "approved":
            found = None
    return found


def to_undo(rows: Iterable[Row], steps: Mapping[str, AnyStep]) -> list[Row]:
    """What was done and can be taken back, the last first."""
    done = [row for row in rows if row.state == "done" and getattr(steps.get(row.step), "undo", None)]
    return sorted(done, key=lambda row: row.seq, reverse=True)
