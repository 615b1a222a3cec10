"""Checks that an answer keeps the form that was asked for: JSON, a JSON Schema, tool calls that the tools can take.

Schemas are the client's: references to other documents are never followed, patterns run on a linear-time engine, and
the work of checking is counted (see `_counted`): what takes long leaves the event loop, what takes longer is a fault.
An answer that is nearly JSON is mended where that is certain (see `_mend`); one that is wrong is asked for once more.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from threading import Lock
from typing import Any, cast

import msgspec

from trimtab import texts
from trimtab.errors import ConfigError, NotFoundError, RequestError
from trimtab.ports import Tools
from trimtab.types import Answer, Evidence, Json, ModelSpec, Request, Verdict
from trimtab.verify import _reasked
from trimtab.verify._counted import TooMuchWorkError, allowed, counted, fault, told
from trimtab.verify._shapes import check

MAX_SCHEMA = 200_000
"""Bytes of the largest schema that is compiled."""
MAX_SCHEMAS = 1_000_000
"""Bytes of all schemas of one request."""
MAX_TOOLS = 512
QUICK, STEPS = 4_000, 400_000
"""Steps (about 3 us each) that checking an answer may take: on the event loop, and in a thread of its own."""
LARGE = 20_000
"""Characters of an answer that is decoded in a thread at once."""
_FORMATS = ("json_object", "json_schema")
CHECKED = frozenset({"tools", "functions", "tool_choice", "response_format"})
"""Parameters that `check_request` looks at."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which promises are checked.

    `mend` repairs what is nearly JSON, without asking anybody. `reask` is the most tokens, of the prompt and the answer
    together, for which the model that was wrong is asked once more; 0 asks the next one instead.
    """

    json: bool = True
    tools: bool = True
    mend: bool = True
    reask: int = 4000


def build(options: Options, tools: Tools) -> "Schema":
    """Raises `ConfigError` for a budget below 0."""
    if options.reask < 0:
        raise ConfigError(f"verify {tools.name!r}: reask = {options.reask} is no number of tokens.", "Give 0 or more.")
    return Schema(tools, options)


class Schema:
    """The verifier."""

    def __init__(self, tools: Tools, options: Options) -> None:
        self._name, self._options, self._ask = tools.name, options, tools.ask

    def applies(self, request: Request, spec: ModelSpec) -> bool:
        """Where the request wants JSON or brings tools."""
        wants_json = self._options.json and _format(request.params) in _FORMATS
        return wants_json or (self._options.tools and bool(_tools(request.params)))

    async def verify(self, request: Request, evidence: Evidence, answer: Answer) -> Verdict:
        """Not ok: `bad_json`, `schema_mismatch`, `unknown_tool`, `bad_arguments`, `no_tool_call`, with the JSON path.

        Raises `RequestError` where the client's own schema is wrong, as `check_request` does before the path.
        """
        code, why = await self._fault(request.params, answer)
        if code == "ok":
            return Verdict(ok=True, by=self._name)
        whole = _reasked.mended(answer) if self._options.mend else None
        if whole and (await self._fault(request.params, whole))[0] == "ok":
            return Verdict(ok=True, by=self._name, code="mended", why=f"Mended: {why}", answer=whole)
        if (again := await self._again(request, evidence, answer, why)) is not None:
            return Verdict(ok=True, by=self._name, code="asked_again", why=f"Asked again: {why}", answer=again)
        return Verdict(ok=False, by=self._name, code=code, why=why)

    async def _again(self, request: Request, evidence: Evidence, answer: Answer, why: str) -> Answer | None:
        """The model's second answer, mended if need be; None where it is not better, or may not be asked."""
        asked = _reasked.asked(request, answer, why, self._options.reask)
        if asked is None or self._ask is None:
            return None
        try:
            said = await self._ask(answer.model, asked, evidence, self._name)
        except NotFoundError:  # an answer may be in the name of a model that is no rung here: a recorded one
            return None
        if isinstance(said, Verdict):
            return None
        for one in (said, _reasked.mended(said) if self._options.mend else None):
            if one and (await self._fault(request.params, one))[0] == "ok":
                return one
        return None

    async def _fault(self, params: Json, answer: Answer) -> tuple[str, str]:
        """The first fault's code and sentence, or `ok`."""
        found = self._quickly(params, answer)
        if found is None:
            found = await asyncio.to_thread(self._thoroughly, params, answer)
        return found or ("ok", "")

    def _quickly(self, params: Json, answer: Answer) -> tuple[str, str] | tuple[()] | None:
        """The first fault, () for none; None where to find out would hold up all other requests."""
        if sum(len(text.text) for text in texts.of_answer(answer)) > LARGE or answer.choices:
            return None
        try:
            with allowed(QUICK):
                return next(self._faults(params, answer), ())
        except TooMuchWorkError:
            return None

    def _thoroughly(self, params: Json, answer: Answer) -> tuple[str, str] | tuple[()]:
        try:
            with allowed(STEPS):
                return next(self._faults(params, answer), ())
        except TooMuchWorkError:
            return "schema_mismatch", f"To check it takes more than {STEPS} steps; make the schema simpler."

    def _faults(self, params: Json, answer: Answer) -> Iterator[tuple[str, str]]:
        first: Json = {**answer.extra, "content": answer.text, "tool_calls": list(answer.tool_calls)}
        for i, choice in enumerate((first, *(choice.get("message") or {} for choice in answer.choices))):
            where = f"choices[{i}]"
            calls = choice.get("tool_calls") or []
            if self._options.tools and _tools(params):
                yield from _call_faults(params, calls, where)
            if self._options.json and _format(params) in _FORMATS and not calls and not choice.get("refusal"):
                yield from _text_faults(params, choice.get("content"), where)


def check_request(request: Request) -> None:
    """Refuse a request whose tools or schema can never be kept.

    For the server, before the path. Raises `RequestError` that names the parameter.
    """
    if not request.params.keys() & CHECKED:
        return
    names = [_name(tool, i) for i, tool in enumerate(_tools(request.params))]
    if len(names) > MAX_TOOLS:
        raise RequestError(f"{len(names)} tools are too many.", f"Send at most {MAX_TOOLS}.", param="tools")
    schemas = [_parameters(tool) for tool in _tools(request.params)]
    if (size := sum(len(msgspec.json.encode(schema)) for schema in schemas)) > MAX_SCHEMAS:
        raise RequestError(f"The tools' schemas have {size} bytes.", f"Send at most {MAX_SCHEMAS}.", param="tools")
    for i, parameters in enumerate(schemas):
        if parameters is not None:
            _compiled(parameters, f"tools[{i}].function.parameters")
    chosen = _chosen(request.params)
    if chosen and chosen not in names:
        raise RequestError(
            f"tool_choice names {chosen!r}, which is no tool.", "Name one in tools.", param="tool_choice"
        )
    _check_format(request.params)


def _check_format(params: Json) -> None:
    wanted = params.get("response_format")
    if wanted is None:
        return
    if not isinstance(wanted, dict) or _format(params) not in (*_FORMATS, "text", "grammar", "python"):
        raise RequestError(
            "response_format is not understood.", "Its type is text, json_object or json_schema.",
            param="response_format",
        )  # fmt: skip
    if _format(params) == "json_schema":
        _compiled(_schema(params), "response_format.json_schema.schema")


def _format(params: Json) -> str:
    wanted = params.get("response_format")
    return str(cast("Json", wanted).get("type", "")) if isinstance(wanted, dict) else ""


def _schema(params: Json) -> Any:
    """The schema of a `json_schema` format; without one any JSON will do, as with OpenAI."""
    named = params["response_format"].get("json_schema")
    if not isinstance(named, dict):
        raise RequestError(
            "response_format.json_schema is missing.", "Give it as an object with name and schema.",
            param="response_format.json_schema",
        )  # fmt: skip
    return cast("Json", named).get("schema", True)


def _tools(params: Json) -> list[Any]:
    """The request's tools; the deprecated `functions` in the shape of tools."""
    tools = params.get("tools")
    if tools is None:
        old = params.get("functions")
        tools = [{"type": "function", "function": one} for one in old] if isinstance(old, list) else []  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(tools, list):
        raise RequestError("tools must be a list.", "Send [] or leave it out.", param="tools")
    return cast("list[Any]", tools)


def _body(tool: Any) -> Any:
    """The inner object of a tool or a call: `{"type": "function", "function": {...}}`, or `custom`."""
    if not isinstance(tool, dict):
        return None
    known = cast("Json", tool)
    return known.get("custom") if known.get("type") == "custom" else known.get("function")


def _name(tool: Any, i: int) -> str:
    body = _body(tool)
    if not isinstance(body, dict) or not isinstance(name := cast("Json", body).get("name"), str) or not name:
        raise RequestError(
            f"tools[{i}] has no name.", 'Write {"type": "function", "function": {"name": ...}}.', param=f"tools[{i}]"
        )
    return name


def _parameters(tool: Any) -> Any:
    """The schema of a function's arguments; None for a tool of free text, and where none was given."""
    return None if tool.get("type") == "custom" else tool["function"].get("parameters")


def _chosen(params: Json) -> str:
    """The one tool that must be called, "" where the model chooses."""
    choice = params.get("tool_choice")
    body = _body(choice) if isinstance(choice, dict) else None
    return str(cast("Json", body).get("name", "")) if isinstance(body, dict) else ""


def _call_faults(params: Json, calls: list[Json], where: str) -> Iterator[tuple[str, str]]:
    tools = {_name(tool, i): (tool, i) for i, tool in enumerate(_tools(params))}
    chosen = _chosen(params)
    if not calls and (chosen or params.get("tool_choice") == "required"):
        yield "no_tool_call", f"{where}: a tool call was asked for and none was made."
    for i, call in enumerate(calls):
        path, body = f"{where}.tool_calls[{i}]", cast("Json", _body(call) or {})
        name = body.get("name")
        if name not in tools or (chosen and name != chosen):
            yield "unknown_tool", f"{path}: {str(name)[:60]!r} is none of {', '.join([chosen] if chosen else tools)}."
        elif call.get("type") != "custom":
            yield from _argument_faults(tools[name], body.get("arguments"), f"{path}.function.arguments")


def _argument_faults(tool: tuple[Any, int], arguments: Any, path: str) -> Iterator[tuple[str, str]]:
    """Arguments must be a JSON object; none at all count as `{}`, as servers of parameterless tools send them."""
    known, value = _decoded(arguments if arguments not in (None, "") else "{}")
    if not known or not isinstance(value, dict):
        yield "bad_arguments", f"{path}: not a JSON object."
        return
    schema = _parameters(tool[0])
    if schema is not None and (why := _mismatch(schema, value, f"tools[{tool[1]}].function.parameters")):
        yield "bad_arguments", f"{path}{why}"


def _text_faults(params: Json, text: Any, where: str) -> Iterator[tuple[str, str]]:
    known, value = _decoded(text)
    if not known or (_format(params) == "json_object" and not isinstance(value, dict)):
        yield "bad_json", f"{where}.message.content: not {'JSON' if not known else 'a JSON object'}."
    elif _format(params) == "json_schema" and (
        why := _mismatch(_schema(params), value, "response_format.json_schema.schema")
    ):
        yield "schema_mismatch", f"{where}.message.content{why}"


def _decoded(text: Any) -> tuple[bool, Any]:
    """Whether a text is JSON, and its value; NaN, comments, code fences and endless nesting are not JSON."""
    if not isinstance(text, str):
        return False, None
    try:
        return True, msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return False, None


def _mismatch(schema: Any, value: Any, param: str) -> str:
    """The path and the sentence of the first fault, "" where there is none; raises `TooMuchWorkError`."""
    validator = _compiled(schema, param)
    try:
        error = fault(validator, value)
    except TooMuchWorkError:
        raise
    except RecursionError:
        return ": the schema or the answer is nested without end"
    except Exception as error:  # noqa: BLE001 - a number too large to divide, a reference lost behind an $id
        return f": it could not be checked against {param} ({type(error).__name__})"
    if error is None:
        return ""
    return ": ".join(told(error))


def _compiled(schema: Any, param: str) -> Any:
    """Raises `RequestError` naming `param` for a schema that is none, is too large or refers elsewhere."""
    if not isinstance(schema, dict | bool):
        raise RequestError(f"{param} is not a JSON Schema.", "A schema is an object.", param=param)
    encoded = msgspec.json.encode(schema)
    if len(encoded) > MAX_SCHEMA:
        raise RequestError(f"{param} has {len(encoded)} bytes.", f"Send at most {MAX_SCHEMA}.", param=param)
    try:
        return KEPT.of(encoded)
    except ValueError as error:
        fix = "Mend the schema; references to other documents are not followed."
        raise RequestError(
            f"{param} cannot be used: {str(error)[:300]}", fix, param=param, code="bad_schema"
        ) from error


class Kept:
    """Validators by their schema's bytes: those used last, of at most `most` bytes of schemas.

    A count would not do: clients send the schemas, and one of them takes up to a megabyte here.
    """

    def __init__(self, most: int) -> None:
        self._most, self._size, self._lock = most, 0, Lock()
        self._made: OrderedDict[bytes, Any] = OrderedDict()

    def of(self, encoded: bytes) -> Any:
        """The validator. Raises `ValueError` for a schema that is none."""
        with self._lock:  # judges that take long run in threads
            if (found := self._made.get(encoded)) is not None:
                self._made.move_to_end(encoded)
                return found
        made = _compile(encoded)
        with self._lock:
            self._size += 0 if encoded in self._made else len(encoded)
            self._made[encoded] = made
            while self._size > self._most:
                self._size -= len(self._made.popitem(last=False)[0])
        return made


KEPT = Kept(2_000_000)


def _compile(encoded: bytes) -> Any:
    """A validator by its schema's bytes; every fault in making it leaves as `ValueError`."""
    from jsonschema.validators import Draft202012Validator, validator_for
    from referencing import Registry

    schema = msgspec.json.decode(encoded)
    try:
        check(schema)
    except RecursionError:
        raise ValueError("it is nested without end") from None
    return counted(validator_for(schema, default=Draft202012Validator))(schema, registry=Registry())
