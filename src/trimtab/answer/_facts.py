"""Facts of the syntax tree of Python code in a question: what it defines, imports and calls, and signatures.

The question is one line and one block of code; a name that is defined twice is left to others.
"""

import ast
import re
import warnings
from collections.abc import Iterator
from typing import TypeAlias

from trimtab.answer._reading import Reading, Unclear

LONGEST = 20_000
"""Characters of the longest code that is parsed: some 10 ms."""
Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
_BLOCK = re.compile(r"```(?:python|py|python3)?[ \t]*\n(.*?)\n?```", re.DOTALL | re.IGNORECASE)
_CODE = r"(?:(?:this|the|my) )?(?:following )?(?:python )?(?:code|module|file|script|snippet|program)"
_THIS = rf"(?: (?:in|of|by) {_CODE}| does {_CODE} (?:define|have|contain)| {_CODE} defines?)?"
_NAME = r"`?([A-Za-z_][\w.]*)`?(?:\(\))?"
_ASKS: dict[str, "re.Pattern[str]"] = {
    what: re.compile(pattern, re.IGNORECASE)
    for what, pattern in {
        "functions": rf"(?:what|which|list(?: all)?(?: the)?) functions(?: are(?: there| defined)?)?{_THIS}",
        "classes": rf"(?:what|which|list(?: all)?(?: the)?) classes(?: are(?: there| defined)?)?{_THIS}",
        "imports": rf"(?:what|which modules|what modules) (?:does {_CODE} import|is imported(?: by {_CODE})?)"
        rf"|list(?: all)?(?: the)? imports(?: (?:in|of) {_CODE})?",
        "signature": rf"(?:what is |show )?the signature of {_NAME}(?: in {_CODE})?",
        "parameters": rf"(?:what|which) (?:parameters|arguments) does {_NAME} (?:take|have|accept)(?: in {_CODE})?",
        "calls": rf"(?:what|which)(?: functions)? does {_NAME} call(?: in {_CODE})?",
        "callers": rf"(?:what|which functions?) calls? {_NAME}(?: in {_CODE})?",
    }.items()
}


def read(question: str) -> Reading:
    """Raises `Unclear`."""
    blocks = list(_BLOCK.finditer(question))
    if len(blocks) != 1 or question.count("```") != 2 or len(blocks[0][1]) > LONGEST:
        raise Unclear
    asked = " ".join((question[: blocks[0].start()] + question[blocks[0].end() :]).split()).rstrip(" ?:.").strip()
    found = [(what, match) for what, pattern in _ASKS.items() if (match := pattern.fullmatch(asked))]
    if len(found) != 1:
        raise Unclear
    what, match = found[0]
    tree = _parsed(blocks[0][1])
    name = match[1] if match.groups() else ""
    try:
        text = _fact(what, name, tree)
    except RecursionError:
        raise Unclear from None
    return Reading(text, f"python: {what}{f' of {name}' if name else ''}")


def _fact(what: str, name: str, tree: ast.Module) -> str:
    defined = list(_functions(tree, ""))
    match what:
        case "functions":
            return _listed([found for found, _ in defined], "It defines no functions.")
        case "classes":
            return _listed([one.name for one in ast.walk(tree) if isinstance(one, ast.ClassDef)], "It has no classes.")
        case "imports":
            return _listed(_imports(tree), "It imports nothing.")
        case "callers":
            _only(defined, name)
            callers = [found for found, one in defined if name in _calls(one)]
            return _listed(callers, f"No function of it calls {name}.")
        case "calls":
            return _listed(_calls(_only(defined, name)), f"{name} calls nothing.")
        case "parameters":
            return _listed(_parameters(_only(defined, name).args), f"{name} takes none.")
        case _:
            return _signature(_only(defined, name))


def _parsed(code: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise Unclear from None


def _functions(node: ast.AST, inside: str) -> Iterator[tuple[str, Function]]:
    """Functions and methods by their qualified names, in order; not those that are made inside of functions."""
    for one in ast.iter_child_nodes(node):
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
            yield inside + one.name, one
        elif isinstance(one, ast.ClassDef):
            yield from _functions(one, f"{inside}{one.name}.")
        elif isinstance(one, ast.If | ast.Try | ast.With):
            yield from _functions(one, inside)


def _only(defined: list[tuple[str, Function]], name: str) -> Function:
    """The one function of that name, qualified or not."""
    found = [one for known, one in defined if known == name or known.rpartition(".")[2] == name]
    if len(found) != 1:
        raise Unclear
    return found[0]


def _imports(tree: ast.Module) -> list[str]:
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append("." * node.level + (node.module or ""))
    return found


def _calls(function: Function) -> list[str]:
    """What is called in its own body, by the names that stand there; what a name means is not followed."""
    calls = [node for part in function.body for node in ast.walk(part) if isinstance(node, ast.Call)]
    calls.sort(key=lambda call: (call.lineno, call.col_offset))
    named = (call.func for call in calls)
    return [ast.unparse(one) for one in named if isinstance(one, ast.Name | ast.Attribute)]


def _parameters(given: ast.arguments) -> list[str]:
    named = [one.arg for one in (*given.posonlyargs, *given.args)]
    named += [f"*{given.vararg.arg}"] if given.vararg else []
    named += [one.arg for one in given.kwonlyargs]
    return named + ([f"**{given.kwarg.arg}"] if given.kwarg else [])


def _signature(function: Function) -> str:
    returned = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    kind = "async def" if isinstance(function, ast.AsyncFunctionDef) else "def"
    return f"{kind} {function.name}({ast.unparse(function.args)}){returned}"


def _listed(found: list[str], none: str) -> str:
    return ", ".join(dict.fromkeys(found)) or none
