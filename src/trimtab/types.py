"""The nouns of Trimtab: frozen data that every stage reads and no stage changes."""

from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, TypeAlias

import msgspec

Json: TypeAlias = dict[str, Any]
"""A JSON object as decoded; unknown fields in it are kept and passed on."""


class Origin(StrEnum):
    """Who wrote a text: guards hold retrieved and tool text to a stricter bar than the user's."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"
    RETRIEVED = "retrieved"
    ANSWER = "answer"


class Action(StrEnum):
    """What follows from a guard's finding."""

    ALLOW = "allow"
    REDACT = "redact"
    LOCAL = "local"
    PERSON = "person"
    REFUSE = "refuse"


class Impact(StrEnum):
    """What a wrong answer can do; high impact is released by a person."""

    LOW = "low"
    HIGH = "high"


Place: TypeAlias = Literal["local", "remote"]
"""Where a model runs: inside the operator's trust boundary, or outside of it."""
REGION = "^[a-z0-9][a-z0-9-]{0,63}$"
"""How a region is written: in small letters, so that two spellings of one do not miss each other."""
HERE = "here"
"""The region of what runs on this machine, where a text is anyhow: every list of regions allows it."""


class Text(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A piece of text with its provenance; `path` says where it stands, e.g. `messages[2].content`."""

    text: str
    origin: Origin
    path: str = ""


class Span(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Characters `start` to `end` (exclusive) of the text at `path`, and what stands there."""

    kind: str
    start: int
    end: int
    path: str = ""


class Price(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """USD per million tokens; `cached` is for input read from the provider's prompt cache.

    `cache_write` is for input written to it, `cache_write_long` for what is to stay there longer (Anthropic: an hour).
    """

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_long: Decimal | None = None


FREE = Price(input=Decimal(0), output=Decimal(0))
"""In-process rungs: no bill comes for a token."""


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens of one call; `estimated` where no server counted them.

    Of `prompt` so many were `cached`, and others written to the cache (`cache_write`; of these `cache_write_long` for
    longer). Of `completion` so many were `reasoning`.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    estimated: bool = False
    reasoning: int = 0
    cache_write: int = 0
    cache_write_long: int = 0


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request's limits: `cost` in nanodollars, `latency` in seconds, `where` its text may go.

    `regions` are those of the models that may have it; None is all.
    """

    cost: int | None = None
    latency: float | None = None
    where: Literal["any", "local"] = "any"
    regions: tuple[str, ...] | None = None


class Wishes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the client asked of the rendering: which model (`auto` lets the system decide), stream, durability.

    `priority` is -1 (low), 0 or 1 (high): who goes first where there is no room for all. `reasoning` asks to see what a
    model thought that the recipe lets think.
    """

    model: str = "auto"
    stream: bool = False
    durable: bool = False
    cache: bool = True
    priority: int = 0
    reasoning: bool = False


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a client asked.

    `messages` are chat messages in OpenAI's shape; `params` every other field of the body but `model`, `stream` and
    `trimtab`, the unknown ones too, to be passed on as they came. `id` is the trace's id. `traceparent` is the client's
    own span, in the form of W3C Trace Context, or empty.
    """

    id: str
    messages: tuple[Json, ...]
    params: Json = {}
    principal: str = "local"
    limits: Limits = Limits()
    wishes: Wishes = Wishes()
    traceparent: str = ""


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a model: `price` None is unknown, `context` in tokens; `region` "" is unknown, `HERE` is
    this machine.

    `abilities`: `chat` (any request), `question` (one plain question and no more), `tools`, `json`, `vision`,
    `evidence` (reads retrieved passages), `cache` (repeats earlier answers), `stream`, `resume` (may go on with what
    another rung began).
    """

    name: str = ""
    where: Place = "local"
    region: str = ""
    price: Price | None = None
    context: int | None = None
    abilities: frozenset[str] = frozenset({"question"})
    recorded: bool = False


class Signal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One named fact about a request and the microseconds it took to find."""

    name: str
    value: str | int | float | bool
    us: float = 0.0


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The models that may answer, cheapest first, and why; `left_out` maps the others to a reason code."""

    ladder: tuple[str, ...]
    reasons: tuple[str, ...] = ()
    left_out: dict[str, str] = {}
    impact: Impact = Impact.LOW
    signals: tuple[Signal, ...] = ()


class Passage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A retrieved passage: `start` and `end` are character offsets into the source.

    `score` tells the best of this search from the rest; `near` is how alike question and passage are by themselves:
    the cosine of their embeddings, None where it was not reckoned.
    """

    text: str
    source: str
    start: int
    end: int
    score: float = 0.0
    title: str = ""
    near: float | None = None


class Evidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Retrieved passages, best first.

    `state` is another string where any document is another; "" where the retriever cannot tell, or where the same
    documents would give other passages a moment later.
    """

    passages: tuple[Passage, ...] = ()
    state: str = ""


class Citation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The characters of a source that an answer rests on; `span` are those of the answer alone, where it is known."""

    source: str
    start: int
    end: int
    quote: str
    span: tuple[int, int] | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a rung wrote.

    `text` None with `tool_calls` is a tool call. `confidence` is a calibrated P(right) or None. `extra` holds the
    message's further fields, `choices` the choices after the first as the server gave them, `body` the response's
    further fields. `resumed` names the rungs that began it, where `model` went on with what they had written.
    """

    text: str | None
    model: str
    usage: Usage = Usage()
    finish: str = "stop"
    tool_calls: tuple[Json, ...] = ()
    confidence: float | None = None
    citations: tuple[Citation, ...] = ()
    label: str | None = None
    impact: Impact = Impact.LOW
    extra: Json = {}
    choices: tuple[Json, ...] = ()
    body: Json = {}
    resumed: tuple[str, ...] = ()


class Delta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A piece of an answer on its way: `extra` are the chunk's delta fields other than `content` and `role`."""

    text: str = ""
    index: int = 0
    extra: Json = {}
    logprobs: Any = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Ok or not, by whom, why (a reason code and a sentence), and how sure (a calibrated score or None).

    `action` is what follows; `spans` where it was found; `cost` in nanodollars of the judging itself. `answer` is the
    answer as a verifier that is content has mended it; None leaves it as it was.
    """

    ok: bool
    by: str = ""
    code: str = "ok"
    why: str = ""
    score: float | None = None
    action: Action = Action.ALLOW
    spans: tuple[Span, ...] = ()
    cost: int | None = 0
    shadow: bool = False
    answer: Answer | None = None


OK = Verdict(ok=True)


class Refused(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An outcome: this will not be answered, by which rule and why."""

    by: str
    code: str
    why: str
    score: float | None = None
    spans: tuple[Span, ...] = ()


class Pending(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An outcome: a person decides. `digest` is the SHA-256 of the exact bytes that wait, `expires` epoch seconds."""

    ticket: str
    code: str
    why: str
    digest: str = ""
    expires: float | None = None


Outcome: TypeAlias = Answer | Refused | Pending


class Case(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the approver sees: `answer` None where no rung answered; `verdict` the last one on it."""

    request: Request
    decision: Decision
    answer: Answer | None
    verdict: Verdict
    actions: frozenset[Action] = frozenset()


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened on the path: milliseconds, and nanodollars (None is unknown).

    `at` is when it began, in milliseconds after its trace did.
    """

    stage: str
    by: str
    ms: float
    ok: bool = True
    code: str = ""
    why: str = ""
    score: float | None = None
    cost: int | None = 0
    usage: Usage | None = None
    at: float = 0.0


class Trace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that happened to one request; `at` in epoch seconds, costs in nanodollars.

    `baseline` is what the large model would have cost for the same tokens, None where its price is unknown.
    `outcome`: answer, refused, pending, error or cancelled. `documents` is the state of those that were looked into
    (`Evidence.state`), None where none were.
    """

    request: Request
    at: float
    ms: float
    outcome: str
    steps: tuple[Step, ...] = ()
    decision: Decision | None = None
    answered_by: str = ""
    confidence: float | None = None
    usage: Usage = Usage()
    cost: int | None = 0
    baseline: int | None = None
    code: str = ""
    why: str = ""
    result: Outcome | None = None
    documents: str | None = None
