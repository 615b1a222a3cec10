"""The catalogue of codes is whole: what the source raises or returns stands in it, and what stands in it is used."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from trimtab import errors

SOURCE = Path(errors.__file__).parent
OUTSIDE = ("testing.py", "evaluate/", "errors.py", "store/migrations/", "server/schemas.py")
"""Fakes and the mock server, whose codes no gateway gives, what describes shapes, and the catalogue itself."""
SNAKE = re.compile(r"[a-z]+(_[a-z]+)*")
FORWARDED = (ast.Name, ast.Attribute, ast.Subscript, ast.Call)
"""Expressions that hand on a code which was written elsewhere."""

TWICE = {"nothing_stored", "key_expired", "key_revoked"}
"""Codes of two classes: 404 and 400 by what was asked for; 401 to who shows the key, none to who rotates it."""


def trees(source: Path = SOURCE) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(source.rglob("*.py")):
        name = str(path.relative_to(source))
        if not name.startswith(OUTSIDE):
            yield name, ast.parse(path.read_text("utf-8"))


def takers(parsed: list[ast.Module]) -> dict[str, set[int]]:
    """Which positions of a call are a code: by the parameter `code` of the function or class that is called."""
    found: dict[str, set[int]] = {"Row": {2}}
    for tree in parsed:
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                for made in node.body:
                    if isinstance(made, ast.FunctionDef) and made.name == "__init__":
                        note(found, node.name, made)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                note(found, node.name, node)
    return found


def note(found: dict[str, set[int]], name: str, made: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    names = [one.arg for one in made.args.args if one.arg not in ("self", "cls")]
    if "code" in names:
        found.setdefault(name, set()).add(names.index("code"))


def written(value: ast.expr) -> Iterator[str]:
    """The codes that an expression may be. Fails for one that is put together, since no catalogue could name it."""
    if isinstance(value, ast.Constant):
        if isinstance(value.value, str) and value.value:
            yield value.value
    elif isinstance(value, ast.IfExp):
        yield from written(value.body)
        yield from written(value.orelse)
    elif isinstance(value, ast.BoolOp):
        for one in value.values:
            yield from written(one)
    elif isinstance(value, ast.Tuple):
        yield from written(value.elts[0])
    elif not (isinstance(value, ast.JoinedStr) and ast.unparse(value).startswith("f'{verdict.code}:")):
        assert isinstance(value, FORWARDED), f"a code that is put together: {ast.unparse(value)}"


def called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def of_node(node: ast.AST, places: dict[str, set[int]]) -> Iterator[str]:
    match node:
        case ast.Call():
            yield from of_call(node, places)
        case ast.Assign(targets=[target], value=value) if named(target):
            yield from literals(value)
        case ast.Return(value=value) | ast.Yield(value=value):
            yield from of_returned(value)
        case ast.Dict():
            members = zip(node.keys, node.values, strict=True)
            yield from (code for key, value in members if is_code(key) for code in literals(value))
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield from defaults(node)
            yield from returned(node)


def of_call(node: ast.Call, places: dict[str, set[int]]) -> Iterator[str]:
    """By keyword, and at the position of a parameter `code`."""
    for keyword in node.keywords:
        if keyword.arg == "code":
            yield from written(keyword.value)
    for i in places.get(called(node), ()):
        if len(node.args) > i:
            yield from literals(node.args[i])


def of_returned(value: ast.expr | None) -> Iterator[str]:
    """A code and its sentence."""
    value = value.body if isinstance(value, ast.IfExp) else value
    if isinstance(value, ast.Tuple) and len(value.elts) == 2 and sentence(value.elts[1]):
        yield from literals(value.elts[0])


def returned(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """What a function says that is called after the code it makes."""
    if node.name == "_code" and node.returns and ast.unparse(node.returns) == "str":
        for one in ast.walk(node):
            if isinstance(one, ast.Return) and one.value:
                yield from literals(one.value)


def is_code(key: ast.expr | None) -> bool:
    return isinstance(key, ast.Constant) and key.value == "code"


def sentence(value: ast.expr) -> bool:
    """Whether a text says why: two words at least."""
    return isinstance(value, ast.Constant | ast.JoinedStr) and " " in ast.unparse(value)


def defaults(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    names = [*node.args.posonlyargs, *node.args.args][-len(node.args.defaults) :] if node.args.defaults else []
    for name, value in zip(names, node.args.defaults, strict=True):
        if name.arg == "code":
            yield from literals(value)


def named(target: ast.expr) -> bool:
    first = target.elts[0] if isinstance(target, ast.Tuple) else target
    return (isinstance(first, ast.Name) and first.id == "code") or (
        isinstance(first, ast.Attribute) and first.attr == "code"
    )


def literals(value: ast.expr) -> list[str]:
    return list(written(value)) if isinstance(value, ast.Constant | ast.IfExp | ast.BoolOp | ast.Tuple) else []


@cache
def used(source: Path = SOURCE) -> dict[str, str]:
    """Each code that the source raises, returns or notes, and a file where."""
    parsed = list(trees(source))
    places = takers([tree for _, tree in parsed])
    return {
        code: name
        for name, tree in parsed
        for node in ast.walk(tree)
        for code in of_node(node, places)
        if SNAKE.fullmatch(code)
    }


def test_what_is_raised_or_returned_stands_in_the_catalogue():
    missing = {code: where for code, where in used().items() if code not in errors.CODES}
    assert not missing, f"write a row in errors.CODES for: {missing}"


def test_what_stands_in_the_catalogue_is_used():
    by_class = {row.code for row in (*errors.TABLE.values(), errors.UNKNOWN)}
    idle = errors.CODES.keys() - used().keys() - by_class - {"ok"}
    assert not idle, f"nothing gives these codes: take their rows out of errors.CODES: {idle}"


def test_each_class_has_its_code_in_the_catalogue():
    assert {cls: errors.CODES[row.code].of for cls, row in errors.TABLE.items()} == {cls: cls for cls in errors.TABLE}


def status(cls: type, code: str) -> int:
    known = errors.CODES[code]
    return (known.of and issubclass(cls, known.of) and known.status) or errors.TABLE[cls].status


def test_a_code_leaves_with_the_status_that_the_catalogue_says():
    for name, tree in trees():
        for node in ast.walk(tree):
            cls = getattr(errors, called(node), None) if isinstance(node, ast.Call) else None
            if cls not in errors.TABLE:
                continue
            for code in (one for key in node.keywords if key.arg == "code" for one in literals(key.value)):
                row = errors.CODES[code]
                if row.of and code not in TWICE:
                    assert status(cls, code) == status(row.of, code), f"{name}: {code} as a {cls.__name__}"


@pytest.mark.parametrize(
    "line",
    [
        'raise RequestError("x", code="made_up")', 'raise RequestError("x", code="made_up" if y else "")',
        'def f():\n    return "made_up", "A sentence."', 'def f():\n    yield "made_up", f"A {x}."',
        'step.code = "made_up"',
        'class A:\n    def p(self, code, why): ...\n    def q(self):\n        self.p("made_up", "x")',
        'Row(400, "x", "made_up", False, 2)', 'found = {"code": "made_up"}', 'def f(name, code="made_up"): ...',
        'code, why = found or ("made_up", "")',
    ],
)  # fmt: skip
def test_the_control_each_way_to_give_a_code_is_seen(line: str, tmp_path: Path):
    (tmp_path / "new.py").write_text(line)
    assert "made_up" in used(tmp_path)


def test_the_control_a_code_that_is_put_together_is_not_let_pass(tmp_path: Path):
    (tmp_path / "new.py").write_text('raise RequestError("x", code=f"key_{state}")')
    with pytest.raises(AssertionError, match="put together"):
        used(tmp_path)
