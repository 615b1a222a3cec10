"""What no type says of a flow: that its steps lead somewhere, end, and read only what can be there. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec

from trimtab.errors import ConfigError
from trimtab.workflow import condition, template
from trimtab.workflow.condition import Condition
from trimtab.workflow.steps import (
    END,
    FAIL,
    AnyStep,
    Ask,
    Branch,
    Call,
    Check,
    Each,
    Extract,
    Flow,
    Person,
    Plan,
    Post,
    Set,
)  # fmt: skip

RESERVED = frozenset({"input", "item", "index", "run", END, FAIL})
DEEPEST = 4
"""Fan-outs inside of each other."""


def check(flow: Flow) -> None:
    """Raises `ConfigError` that names the step and says what to do."""
    names = list(_names(flow.steps))
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"Two steps are called {', '.join(twice)}.", "Give each its own name, inside of others too.")
    if taken := sorted(RESERVED & set(names)):
        raise ConfigError(f"A step may not be called {', '.join(taken)}.", f"Taken are: {', '.join(sorted(RESERVED))}.")
    _steps(flow.steps, frozenset({"input", "run"}), 1)
    _schema("the flow's input", flow.input)
    _reads("the flow's result", flow.result, (), frozenset({"input", "run", *(step.name for step in flow.steps)}))


def branches(steps: tuple[AnyStep, ...], step: AnyStep) -> tuple[Branch, ...]:
    """Where a step leads, as branches whatever way it was written."""
    if isinstance(step.next, tuple):
        return step.next
    if step.next:
        return (Branch(to=step.next),)
    at = steps.index(step)
    return (Branch(to=steps[at + 1].name if at + 1 < len(steps) else END),)


def _names(steps: tuple[AnyStep, ...]) -> Iterator[str]:
    for step in steps:
        yield step.name
        if undo := getattr(step, "undo", None):
            yield undo.name
        if isinstance(step, Each | Plan):
            yield from _names(step.steps)


def _steps(steps: tuple[AnyStep, ...], seen: frozenset[str], deep: int) -> None:
    if not steps:
        raise ConfigError("A flow needs a step.", "Write [[step]] with a name and a kind.")
    if deep > DEEPEST:
        raise ConfigError(f"Steps stand inside of each other {deep} deep.", f"At most {DEEPEST} is allowed.")
    visible = seen | {step.name for step in steps}
    for step in steps:
        _step(step, visible)
        if isinstance(step, Each | Plan):
            _inside(step, visible, deep)
    _leads(steps)


def _inside(step: Each | Plan, visible: frozenset[str], deep: int) -> None:
    inner = visible | {"item", "index"}
    if not isinstance(step, Plan):
        _steps(step.steps, inner, deep + 1)
        _reads(step.name, step.result, (), inner | {one.name for one in step.steps})
    inner |= {one.name for one in step.steps}
    for one in step.steps if isinstance(step, Plan) else ():
        if one.next or one.otherwise or one.times > 1:
            raise _wrong(one, "leads somewhere, and in a plan the model says what comes next", "Leave out next,"
                         " otherwise and times.")  # fmt: skip
        _steps((one,), inner, deep + 1)


def _step(step: AnyStep, visible: frozenset[str]) -> None:
    """One step by itself."""
    _schema(step.name, getattr(step, "schema", None))
    reads, tests = _texts(step), tuple(_conditions(step))
    _reads(step.name, reads, tests, visible)
    if isinstance(step, Ask) and step.cost is not None and not (step.cost.is_finite() and step.cost >= 0):
        raise _wrong(step, "has a cost that is none", "Give USD, 0 or more.")
    if isinstance(step, Extract):
        _patterns(step)
    if isinstance(step, Post):
        _address(step)
    if isinstance(step, Each) and not (step.over.startswith("{") and len(template.parse(step.over)) == 1):
        raise _wrong(step, f"goes over {step.over!r}, which is no list", 'Write over = "{step.field}".')
    if undo := getattr(step, "undo", None):
        _undo(step, undo, visible)


def _undo(step: AnyStep, undo: Call | Post, visible: frozenset[str]) -> None:
    if isinstance(step, Call) and not step.effect:
        raise _wrong(step, "has an undo and no effect", "Write effect = true where the function does something.")
    if undo.next or undo.otherwise or undo.undo or undo.times > 1:
        raise _wrong(undo, "takes a step back and leads nowhere", "Leave out next, otherwise, times and undo.")
    _step(undo, visible)


def _texts(step: AnyStep) -> list[Any]:
    """All that is a template in it."""
    match step:
        case Ask():
            return [step.ask, step.system, step.evidence]
        case Extract():
            return [step.text]
        case Set():
            return [step.values, [case.values for case in step.cases]]
        case Check():
            return [step.value]
        case Person():
            return [step.ask, step.answer]
        case Call():
            return [step.arguments]
        case Post():
            return [step.body]
        case Each():
            return [step.over]
        case Plan():
            return [step.ask]


def _conditions(step: AnyStep) -> Iterator[Condition]:
    if isinstance(step.next, tuple):
        for branch in step.next:
            yield from branch.when
    if isinstance(step, Check):
        yield from step.rules
    if isinstance(step, Set):
        for case in step.cases:
            yield from case.when


def _reads(where: str, value: Any, tests: Iterable[Condition], visible: frozenset[str]) -> None:
    """Every path begins with something that can be there."""
    paths = [path for place in template.places(value) for path in place.paths]
    for test in tests:
        if why := condition.wrong(test):
            raise ConfigError(f"{where}: {why}.", "See docs/reference/flows.md.")
        paths += condition.fields(test)
    for path in paths:
        root = path.partition(".")[0]
        if root not in visible:
            raise ConfigError(f"{where} reads {path!r}, and nothing there is called {root!r}.",
                              f"It may read: {', '.join(sorted(visible))}.")  # fmt: skip


def _leads(steps: tuple[AnyStep, ...]) -> None:
    """Every step leads to one that is there, is reached, and a loop says how often."""
    names = {step.name for step in steps}
    ways: dict[str, set[str]] = {}
    for step in steps:
        to = branches(steps, step)
        if not to or to[-1].when:
            raise _wrong(step, "leads nowhere when no branch holds", 'End the branches with { to = "..." }.')
        ways[step.name] = {branch.to for branch in to} | ({step.otherwise} if step.otherwise else set())
        if unknown := sorted(ways[step.name] - names - {END, FAIL}):
            raise _wrong(step, f"leads to {', '.join(unknown)}, which is not there",
                         f"There are: {', '.join(sorted(names))}, {END}, {FAIL}.")  # fmt: skip
    reached = {steps[0].name} | _reached(ways, steps[0].name)
    for step in steps:
        if step.name not in reached:
            raise _wrong(step, "is never reached", "Lead a step to it, or take it out.")
        if step.times == 1 and step.name in _reached(ways, step.name):
            raise _wrong(step, "stands in a loop that has no limit", "Write times = 3, or how often it may be.")


def _reached(ways: dict[str, set[str]], start: str) -> set[str]:
    """All that can follow."""
    found: set[str] = set()
    todo = [start]
    while todo:
        for name in ways.get(todo.pop(), ()):
            if name not in found:
                found.add(name)
                todo.append(name)
    return found


def _patterns(step: Extract) -> None:
    import re2

    for name, field in step.fields.items():
        try:
            groups = re2.compile(field.pattern).groups
        except re2.error as error:
            raise _wrong(step, f"has a pattern for {name} that is none: {error}", "Write it as RE2 has it.") from error
        if groups > 1:
            raise _wrong(step, f"has {groups} groups in the pattern for {name}", "Keep one; write others (?:...).")
        if field.form == "flag" and field.all:
            raise _wrong(step, f"wants all of the flag {name}", "A flag is true or false.")


def _address(step: Post) -> None:
    try:
        parts = urlsplit(step.url)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and "{" not in step.url
    except ValueError:
        fine = False
    if not fine:
        raise _wrong(step, f"has the url {step.url!r}", 'Write it out, as "https://example.org/orders": no places.')


def _schema(where: str, schema: Any) -> None:
    from trimtab.verify.schema import KEPT

    if schema is None:
        return
    try:
        KEPT.of(msgspec.json.encode(schema))
    except ValueError as error:
        raise ConfigError(f"{where} has a schema that cannot be used: {str(error)[:300]}", "Mend it.") from error


def _wrong(step: AnyStep, what: str, fix: str) -> ConfigError:
    return ConfigError(f"The step {step.name!r} {what}.", fix)
