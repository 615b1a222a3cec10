"""A flow as a picture: lines for a terminal, Mermaid, or SVG by itself. Pure."""

from collections.abc import Iterator
from html import escape

from trimtab.workflow import condition
from trimtab.workflow.sound import branches
from trimtab.workflow.steps import END, FAIL, AnyStep, Ask, Call, Check, Each, Extract, Flow, Person, Plan, Post

WIDE, HIGH, GAP, LEFT, TOP = 300, 46, 34, 40, 56
"""Pixels of a step's box, between two, and of the margins."""
LANE = 16
"""Pixels between two lines that pass by the boxes."""


def lines(flow: Flow) -> Iterator[str]:
    """The steps in order, each with where it leads."""
    yield f"{flow.name}: {flow.description}".rstrip(": ")
    yield from _lines(flow.steps, "")


def mermaid(flow: Flow) -> str:
    """A flowchart in Mermaid's language."""
    return "\n".join(["flowchart TD", *_nodes(flow.steps, "  "), *_arrows(flow.steps, "  ")]) + "\n"


def svg(flow: Flow) -> str:
    """A picture that needs nothing else: boxes from top to bottom, and at the right the ways that pass some by."""
    rows = list(_rows(flow.steps, 0))
    at = {name: TOP + i * (HIGH + GAP) for i, (name, *_) in enumerate(rows)}
    ends = [end for end in (END, FAIL) if any(way[1] == end for way in _ways(flow.steps))]
    for end in ends:
        at[end] = TOP + len(at) * (HIGH + GAP)
    ways = list(_ways(flow.steps))
    width = LEFT * 2 + WIDE + LANE * (len(ways) + 2) + 260
    boxes = [_box(LEFT + 18 * deep, at[name], WIDE - 18 * deep, name, what) for name, what, deep in rows]
    boxes += [_box(LEFT, at[end], WIDE, end, "done" if end == END else "what was done is taken back") for end in ends]
    paths = [_path(i, way, at) for i, way in enumerate(ways)]
    height = TOP + len(at) * (HIGH + GAP)
    return SVG.format(width=width, height=height, title=escape(flow.name), body="\n".join([*paths, *boxes]))


SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" \
role="img" aria-label="{title}" font-family="system-ui, sans-serif" font-size="13">
<defs><marker id="a" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">\
<path d="M0 0 8 4 0 8z" fill="#567"/></marker></defs>
<rect width="100%" height="100%" fill="#fff"/>
<text x="40" y="32" font-size="18" fill="#123">{title}</text>
{body}
</svg>
"""


def _lines(steps: tuple[AnyStep, ...], indent: str) -> Iterator[str]:
    for step in steps:
        limit = f", {step.times} times at most" if step.times > 1 else ""
        yield f"{indent}{step.name}  ({what(step)}{limit})"
        for said, to in _leads(steps, step):
            yield f"{indent}  -> {to}{f'  {said}' if said else ''}"
        if undo := getattr(step, "undo", None):
            yield f"{indent}  undo: {undo.name}  ({what(undo)})"
        if isinstance(step, Each | Plan):
            yield from _lines(step.steps, indent + "    ")


def what(step: AnyStep) -> str:
    """What a step does, in a few words."""
    match step:
        case Ask():
            return f"ask {', '.join(step.models) or 'the ladder'}" + (", as JSON" if step.schema is not None else "")
        case Extract():
            return f"extract {', '.join((*step.fields, *step.personal))}"
        case Check():
            rules = ["the schema"] * (step.schema is not None) + [condition.said(rule) for rule in step.rules]
            return f"check {'; '.join(rules)}"
        case Person():
            return "a person decides"
        case Call():
            return f"{'effect' if step.effect else 'call'} {step.function}"
        case Post():
            return f"effect POST {step.url}"
        case Each():
            return f"each of {step.over}, {step.at_once} at once, {step.most} at most"
        case Plan():
            return f"a model plans, {step.most} steps at most"
        case _:
            return "set values"


def _leads(steps: tuple[AnyStep, ...], step: AnyStep) -> Iterator[tuple[str, str]]:
    """Where a step leads, and when."""
    for branch in branches(steps, step):
        yield " and ".join(f"({condition.said(one)})" for one in branch.when), branch.to
    if step.otherwise:
        yield "otherwise", step.otherwise


def _ways(steps: tuple[AnyStep, ...]) -> Iterator[tuple[str, str, str]]:
    for step in steps:
        for said, to in _leads(steps, step):
            yield step.name, to, said


def _rows(steps: tuple[AnyStep, ...], deep: int) -> Iterator[tuple[str, str, int]]:
    for step in steps:
        yield step.name, what(step), deep
        if isinstance(step, Each | Plan):
            yield from _rows(step.steps, deep + 1)


def _nodes(steps: tuple[AnyStep, ...], indent: str) -> Iterator[str]:
    for step in steps:
        if isinstance(step, Each | Plan):
            yield f'{indent}subgraph {step.name}_inside ["{_plain(f"{step.name}: {what(step)}")}"]'
            yield from _nodes(step.steps, indent + "  ")
            yield from _arrows(step.steps, indent + "  ", f"{step.name}_")
            yield f"{indent}end"
        yield f'{indent}{step.name}["{_plain(step.name)}<br/>{_plain(what(step))}"]'


def _arrows(steps: tuple[AnyStep, ...], indent: str, ends: str = "") -> Iterator[str]:
    for name, to, said in _ways(steps):
        target = f"{ends}{to}_(({to}))" if to in (END, FAIL) else to
        yield f"{indent}{name} -->{f'|{chr(34)}{_plain(said)}{chr(34)}|' if said else ''} {target}"


def _plain(text: str) -> str:
    """A text that Mermaid takes inside of quotes."""
    return escape(text, quote=True).replace("#", "&#35;")


def _box(x: int, y: int, width: int, name: str, said: str) -> str:
    most = (width - 24) // 7
    short = said if len(said) <= most else said[: most - 1] + "…"
    return (
        f'<g><title>{escape(said)}</title><rect x="{x}" y="{y}" width="{width}" height="{HIGH}" rx="8" fill="#eef4f9" '
        f'stroke="#567"/><text x="{x + 12}" y="{y + 19}" font-weight="600" fill="#123">{escape(name)}</text>'
        f'<text x="{x + 12}" y="{y + 36}" fill="#456">{escape(short)}</text></g>'
    )


def _path(i: int, way: tuple[str, str, str], at: dict[str, int]) -> str:
    """Straight down to the next box, else around the boxes on a lane of its own, with its condition."""
    name, to, said = way
    label = f'<text x="{{x}}" y="{{y}}" fill="#456" font-size="11">{escape(said[:60])}</text>' if said else ""
    if at[to] == at[name] + HIGH + GAP:
        x = LEFT + 150
        drawn = f'<path d="M{x} {at[name] + HIGH}V{at[to] - 2}" stroke="#567" fill="none" marker-end="url(#a)"/>'
        return drawn + label.format(x=x + 8, y=at[name] + HIGH + 20)
    x, right = LEFT + WIDE, LEFT + WIDE + LANE * (i + 1)
    begin, end = at[name] + HIGH // 2 + i % 5 * 3, at[to] + HIGH // 2 - i % 5 * 3
    drawn = f'<path d="M{x} {begin}H{right}V{end}H{x + 2}" stroke="#567" fill="none" marker-end="url(#a)"/>'
    return drawn + label.format(x=right + 4, y=begin + (14 if end > begin else -4))
