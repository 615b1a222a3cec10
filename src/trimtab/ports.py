"""The verbs: small Protocols that kinds implement, and `Tools`, all that a kind is given to be built with."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import msgspec

from trimtab.types import (
    Answer,
    Case,
    Decision,
    Delta,
    Evidence,
    ModelSpec,
    Pending,
    Request,
    Span,
    Text,
    Trace,
    Usage,
    Verdict,
)

if TYPE_CHECKING:
    from trimtab.egress import Network
    from trimtab.encode.encoder import Encoder
    from trimtab.odds.reader import Reader
    from trimtab.odds.thresholds import Thresholds
    from trimtab.store.engine import Store


class Guard(Protocol):
    """Finds what may not pass: not ok is a finding; what follows from it (`Action`) is the settings' to say."""

    async def check(self, texts: Sequence[Text], request: Request) -> Verdict: ...


class Router(Protocol):
    """Turns a request into a ladder of the models given; raises `NotFoundError` for a model name nobody has."""

    async def route(self, request: Request, models: Mapping[str, ModelSpec]) -> Decision: ...


class Retriever(Protocol):
    """Finds passages for a request."""

    async def retrieve(self, request: Request) -> Evidence: ...


@runtime_checkable
class Changing(Retriever, Protocol):
    """A `Retriever` that can tell when its documents have changed: the state is `Evidence.state`, as it is now."""

    async def state(self) -> str: ...


class Sink(Protocol):
    """Where a model puts what it writes while it writes, and what it has spent so far.

    `live` is False where the answer is checked as a whole first: then nothing need be emitted. A model calls `spent`
    as soon as it knows a usage, so that a failed or cancelled call still has its cost; `lost` says what a call beside
    the one that answered has spent, and its milliseconds.
    """

    live: bool

    def emit(self, delta: Delta) -> Awaitable[None]: ...

    def spent(self, usage: Usage) -> None: ...

    def lost(self, usage: Usage, ms: float) -> None: ...


class Model(Protocol):
    """Answers, or passes with a `Verdict` that is not ok and says why; raises `UpstreamError` when it is down."""

    async def answer(self, request: Request, evidence: Evidence, sink: Sink) -> Answer | Verdict: ...


class Verifier(Protocol):
    """Judges a finished answer; `applies` says without awaiting whether it has anything to check."""

    def applies(self, request: Request, spec: ModelSpec) -> bool: ...

    async def verify(self, request: Request, evidence: Evidence, answer: Answer) -> Verdict: ...


class Approver(Protocol):
    """Decides whether a person must see a case: None releases the answer."""

    async def approve(self, case: Case) -> Pending | None: ...


@runtime_checkable
class Recorder(Protocol):
    """Keeps what happened; a model that learns from the record (the cache) implements this port too."""

    async def record(self, trace: Trace) -> None: ...


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """What kinds share. `name` is the part's name, `recipe` the folder its relative paths start from.

    `encoder` and `store` are built on first use, `odds` reads a folder of them once for all kinds;
    `thresholds` says what those of the settings have become. `personal` finds
    personal data in a text that has a structure, `names` what an encoder must tell (people, addresses), in each of
    several. `inner` is the model that a wrapping kind wraps. `secret` reads one environment variable that the settings
    allow. `closing` takes a coroutine function to await at shutdown; `starting` one to await before the first request.
    `stamp` is another where any model of the system, its options or its spec is another. `networks` are the operator's
    own: see `egress`. `ask` puts a request to a model of the system by its name, on the account of the request that is
    judged and in the judge's name: see `asking`. `documents` tells the state of the documents that are looked into, as
    `Evidence.state`; None where there are none, or where their retriever cannot tell.
    """

    name: str
    recipe: Path
    home: Path
    encoder: Callable[[], "Encoder"]
    store: Callable[[], "Store"]
    personal: Callable[[str], Sequence[Span]]
    secret: Callable[[str], str | None]
    starting: Callable[[Callable[[], Awaitable[Any]]], Any]
    closing: Callable[[Callable[[], Awaitable[Any]]], Any]
    say: Callable[[str], None]
    inner: Model | None = None
    spec: ModelSpec | None = None
    stamp: str = ""
    networks: "tuple[Network, ...]" = ()
    odds: "Callable[[Path], Reader] | None" = None
    thresholds: "Thresholds | None" = None
    ask: "Callable[[str, Request, Evidence, str], Awaitable[Answer | Verdict]] | None" = None
    documents: "Callable[[], Awaitable[str]] | None" = None
    names: "Callable[[Sequence[str]], Awaitable[Sequence[Sequence[Span]]]] | None" = None
