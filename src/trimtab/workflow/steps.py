"""What a flow is made of: its steps by kind, where each leads, and the limits that no input and no model may pass."""

from decimal import Decimal
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from trimtab.types import Json
from trimtab.workflow.condition import Condition

END, FAIL = "end", "fail"
"""Where a flow may lead beside its steps: the item is done, or it failed and what was done is undone."""
NAME = "^[a-z][a-z0-9_]{0,63}$"
WEEK = 7 * 86400.0

Name = Annotated[str, msgspec.Meta(pattern=NAME)]
Times = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=366 * 86400)]


class Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A table of a flow's file: a key that it does not know is an error."""


class Branch(Shape, frozen=True, kw_only=True):
    """Leads `to` a step where all of `when` holds; without `when` always."""

    to: str
    when: tuple[Condition, ...] = ()


class Retry(Shape, frozen=True, kw_only=True):
    """`times` more tries of what may pass by itself, after `wait` seconds, then twice that, and so on up to `most`."""

    times: Annotated[int, msgspec.Meta(ge=0, le=20)] = 0
    wait: Seconds = 1.0
    most: Seconds = 60.0


class Step(Shape, frozen=True, kw_only=True, tag_field="kind"):
    """What all kinds have.

    `next` names the step that follows, or the branches of which the first that holds is taken; not given it is the next
    in the file. `otherwise` is where a step leads that gave nothing: not given the item fails. `times` is how often the
    step may be gone through for one item: a loop needs at least 2, and ends there.
    """

    name: Name
    next: str | tuple[Branch, ...] = ""
    otherwise: str = ""
    times: Times = 1


class Ask(Step, frozen=True, kw_only=True, tag="ask"):
    """A request on the path: `ask` is the user's message, `system` the operator's.

    `models` narrows the ladder (`large` and `small` may be missing there), `schema` is the JSON that the answer must
    be, `verify` are verifiers on top of the recipe's (one of the same name takes its place). `evidence` is a text that
    is read instead of the recipe's documents. `where`, `cost` (USD) and `latency` (seconds) are the request's limits;
    `params` go to the model as they are; without `cache` an earlier answer will not do.
    An `internal` answer is not released by itself: its high impact is remembered, and a person is asked before the
    item's next side effect or its end.
    """

    ask: str
    system: str = ""
    models: tuple[str, ...] = ()
    schema: Json | None = None
    verify: tuple[Json, ...] = ()
    evidence: str = ""
    where: Literal["any", "local"] = "any"
    cost: Decimal | None = None
    latency: Seconds | None = None
    params: Json = {}
    cache: bool = True
    internal: bool = False
    retry: Retry = Retry()


class Pattern(Shape, frozen=True, kw_only=True, rename={"form": "as"}):
    """A regular expression (RE2) whose first group, or whole, is the value, read `as` a type.

    Two different values are none, unless `all` are wanted. `needed`: without a value the step gives nothing.
    """

    pattern: str
    form: Literal["text", "integer", "amount", "date", "iban", "flag"] = "text"
    all: bool = False
    needed: bool = False


class Extract(Step, frozen=True, kw_only=True, tag="extract", rename={"text": "from"}):
    """Values that stand in a text: by `fields`, and personal data of the kinds in `personal`. Exact, or null."""

    text: str
    fields: dict[Name, Pattern] = {}
    personal: tuple[str, ...] = ()


class Case(Shape, frozen=True, kw_only=True):
    """`values` where all of `when` holds."""

    values: Json
    when: tuple[Condition, ...] = ()


class Set(Step, frozen=True, kw_only=True, tag="set"):
    """`values`, and those of the first of `cases` that holds."""

    values: Json = {}
    cases: tuple[Case, ...] = ()


class Check(Step, frozen=True, kw_only=True, tag="check"):
    """Holds `value` against a JSON `schema` and `rules`; what it gives is the value."""

    value: Any
    schema: Json | None = None
    rules: tuple[Condition, ...] = ()


class Person(Step, frozen=True, kw_only=True, tag="person"):
    """A person decides: `ask` is what they read, `answer` what they may release as it is, or change.

    With a `schema` what they release must be such JSON. After `expires` seconds it means no.
    """

    ask: str
    answer: Any = None
    schema: Json | None = None
    expires: Seconds = WEEK


class Effect(Step, frozen=True, kw_only=True):
    """What a call and a POST have: `timeout` seconds, and a step that takes it back where the item fails later.

    `repeat` says what becomes of a side effect of which nobody knows whether it happened. `person`: a person looks.
    `same_key`: it is done again with the same key, by which the other side must know it.
    """

    repeat: Literal["person", "same_key"] = "person"
    timeout: Seconds = 30.0
    undo: "Call | Post | None" = None
    retry: Retry = Retry()


class Call(Effect, frozen=True, kw_only=True, tag="call"):
    """A function of the user's own: an `effect` happens at most once, anything else may be called again.

    `function` is `module:name`, `file.py:name` beside the flow, or a `name` in a flow that is Python. It is given
    `arguments` by name, and `key` too where it is an `effect`; what it returns must be JSON.
    """

    function: str
    arguments: Json = {}
    effect: bool = False


class Post(Effect, frozen=True, kw_only=True, tag="post"):
    """A side effect over HTTP: POSTs `body` as JSON to `url` with an Idempotency-Key.

    `key_env` names the variable with a bearer token.
    """

    url: str
    body: Any = None
    key_env: str = ""


class Each(Step, frozen=True, kw_only=True, tag="each"):
    """Goes through `steps` for each element of `over`, `at_once` at a time, `most` in all; `result` of each."""

    over: str
    steps: tuple["AnyStep", ...]
    result: Any = None
    at_once: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    most: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100


class Plan(Step, frozen=True, kw_only=True, tag="plan"):
    """A model chooses which of `steps` are done, in which order, at most `most`, and writes each one's `{item.say}`.

    It is asked as in `ask`; it cannot write a step of its own, nor a limit.
    """

    ask: str
    steps: tuple["AnyStep", ...]
    models: tuple[str, ...] = ()
    most: Annotated[int, msgspec.Meta(ge=1, le=100)] = 8
    retry: Retry = Retry()


AnyStep: TypeAlias = Ask | Extract | Set | Check | Person | Call | Post | Each | Plan


class Bounds(Shape, frozen=True, kw_only=True):
    """`concurrency` items at a time; `steps` for one item at most, those inside `each` and `plan` included."""

    concurrency: Annotated[int, msgspec.Meta(ge=1, le=256)] = 4
    steps: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1000


class Flow(Shape, frozen=True, kw_only=True):
    """A whole flow. `input` is the JSON Schema of a line, `result` what comes of it; `recipe` the system it runs on."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][\w.-]{0,63}$")]
    steps: tuple[AnyStep, ...]
    description: str = ""
    recipe: str = ""
    input: Json | None = None
    result: Any = None
    limits: Bounds = Bounds()
