"""Settings -> `System`: the only place that builds things, and takes them down again in reverse order."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab import asking, egress, load
from trimtab.errors import ConfigError
from trimtab.flow import Desk
from trimtab.judge import Seat
from trimtab.odds.thresholds import Thresholds
from trimtab.ports import Changing, Model, Recorder, Tools
from trimtab.settings import GuardPart, ModelPart, Part, Settings
from trimtab.types import HERE, Json, ModelSpec, Span

if TYPE_CHECKING:
    from trimtab.encode.encoder import Encoder
    from trimtab.odds.reader import Reader
    from trimtab.store.engine import Store

PERSONAL = ("EMAIL", "PHONE", "CARD", "IBAN", "IP", "URL_CREDENTIALS", "URL", "US_SSN", "CRYPTO")
"""The kinds that the guard `pii` finds besides the national numbers."""


class System(msgspec.Struct, frozen=True, kw_only=True):
    """A running system: the desk and what else the gateway shows of it; `found` says which models there are and why."""

    desk: Desk
    settings: Settings
    tools: Tools
    found: tuple[str, ...]

    @property
    def store(self) -> "Store":
        return self.tools.store()

    @property
    def encoder(self) -> "Encoder":
        return self.tools.encoder()


@asynccontextmanager
async def open_system(settings: Settings, say: Callable[[str], None] = lambda _: None) -> AsyncIterator[System]:
    """Build everything, start what must start before the first request, and close it all at the end.

    `say` takes lines of progress. Raises `ConfigError` for what cannot be built, `StorageError` for the database.
    """
    async with AsyncExitStack() as shared, AsyncExitStack() as closing:  # kinds close before what they share
        starting: list[Callable[[], Awaitable[Any]]] = []
        _check(settings)
        tools = _tools(settings, say, starting, closing, shared)
        settings, found = await _discovered(settings)
        system = System(desk=_desk(settings, tools), settings=settings, tools=tools, found=found)
        for start in starting:
            await start()
        yield system


def _check(settings: Settings) -> None:
    """What no kind can see alone. Raises `ConfigError`."""
    kinds = [part.kind for part in settings.recorders]
    if twice := sorted({kind for kind in kinds if kinds.count(kind) > 1}):
        raise ConfigError(f"Two [[record]] are of the kind {', '.join(twice)}.", "Everything would be kept twice.")
    for part in settings.guards:
        if part.kind == "pii":
            _check_pii(part)


def _check_pii(part: GuardPart) -> None:
    """A kind or a region that nobody knows would be looked for in vain, and nobody would notice."""
    options = load.options("guard", "pii", part.options)
    if options.kinds:
        from trimtab.guard._names import KNOWN
        from trimtab.guard._national import table

        known = dict.fromkeys((*PERSONAL, *KNOWN, *sorted({one.kind for one in table().kinds})))
        _known(f"[[guard]] {part.name}: kinds", options.kinds, known)
    if options.regions != load.kind("guard", "pii").REGIONS:
        from phonenumbers import SUPPORTED_REGIONS

        _known(f"[[guard]] {part.name}: regions", options.regions, sorted(SUPPORTED_REGIONS))


def _known(what: str, given: Iterable[str], known: Collection[str]) -> None:
    if unknown := [name for name in given if name not in known]:
        raise ConfigError(f"{what} has {', '.join(map(repr, unknown))}.", f"Known are: {', '.join(known)}.")


def _tools(
    settings: Settings,
    say: Callable[[str], None],
    starting: list[Callable[[], Awaitable[Any]]],
    closing: AsyncExitStack,
    shared: AsyncExitStack,
) -> Tools:
    @cache
    def encoder() -> "Encoder":
        from trimtab.encode.encoder import Encoder

        built = Encoder.load()
        shared.callback(built.close)
        return built

    @cache
    def store() -> "Store":
        from trimtab.store.engine import Store

        opened = Store.open(settings.home / "trimtab.db", say, settings.audit.head)
        shared.push_async_callback(opened.close)
        return opened

    @cache
    def odds(folder: Path) -> "Reader":
        from trimtab.odds.reader import Reader

        return Reader(folder, encoder)

    tools = Tools(
        name="", recipe=settings.folder, home=settings.home, encoder=encoder, store=store, odds=odds,
        thresholds=Thresholds(),
        personal=_personal(settings), secret=settings.secrets.get, networks=_networks(settings),
        starting=starting.append, closing=closing.push_async_callback, say=say, ask=asking.ask,
    )  # fmt: skip
    pii, options = load.kind("guard", "pii"), _pii(settings)
    return msgspec.structs.replace(tools, names=lambda texts: pii.names(tools, texts, options))


def _networks(settings: Settings) -> tuple[egress.Network, ...]:
    try:
        return egress.networks(settings.egress.networks)
    except ValueError as error:
        raise ConfigError(f"[egress] networks: {error}.", 'Write networks as "10.0.0.0/8".') from error


def _personal(settings: Settings) -> Callable[[str], Sequence[Span]]:
    """What finds personal data for masking and the records, in the regions of the recipe's `pii` guard."""
    options = _pii(settings)
    find = load.kind("guard", "pii").find
    return lambda text: find(text, regions=options.regions, urls=options.urls)


def _pii(settings: Settings) -> Any:
    """The options of the recipe's `pii` guard, or the usual ones."""
    part = next((part for part in settings.guards if part.kind == "pii"), None)
    return load.options("guard", "pii", part.options if part else {})


def bench_tools(home: Path) -> Tools:
    """Tools outside of a running system, for tests of a single kind: nothing is started or closed."""
    settings = Settings(name="bench", folder=home, home=home)
    return _tools(settings, lambda _: None, [], AsyncExitStack(), AsyncExitStack())


async def _discovered(settings: Settings) -> tuple[Settings, tuple[str, ...]]:
    """The settings with the models that were found; those of the recipe win over found ones of the same name."""
    from trimtab.answer._discover import discover

    models, lines = await discover(settings)
    mine = {model.name for model in settings.models}
    new = tuple(model for model in models if model.name not in mine)
    return msgspec.structs.replace(settings, models=(*settings.models, *new)), lines


def _desk(settings: Settings, tools: Tools) -> Desk:
    specs = {part.name: _spec(part) for part in settings.models}
    retriever = _build("retrieve", settings.retrieve, tools) if settings.retrieve else None
    documents = retriever.state if isinstance(retriever, Changing) else None
    tools = msgspec.structs.replace(tools, stamp=_stamp(settings.models, specs), documents=documents)
    models = {part.name: _model(part, specs[part.name], tools) for part in settings.models}
    recorders = [_build("record", part, tools) for part in settings.recorders]
    recorders += [model for model in models.values() if isinstance(model, Recorder)]
    desk = Desk(
        guards=tuple(_seat(part, tools) for part in settings.guards),
        router=_build("route", settings.route, tools),
        retriever=retriever,
        models=models,
        specs=specs,
        verifiers=tuple(Seat(name=part.name, judge=_build("verify", part, tools)) for part in settings.verifiers),
        approver=_build("approve", settings.approve, tools) if settings.approve else None,
        recorders=tuple(recorders),
        baseline=settings.baseline.price if settings.baseline else None,
        regions=settings.egress.regions,
    )
    desk = _promised(desk, settings, tools) if settings.contracts else desk
    return _paced(desk, settings, tools) if settings.paces else desk


def _promised(desk: Desk, settings: Settings, tools: Tools) -> Desk:
    """The desk with its promises watched, and kept where one is broken. Raises `ConfigError`."""
    from trimtab.route._promised import Promised
    from trimtab.route._watch import Watch, policy
    from trimtab.shadow import Shadows

    for one in settings.contracts:
        models = (one.small, one.large, *([one.judge] if one.judge else []))
        _known(f"[[contract]] {one.name}", models, desk.specs)
        if one.small == one.large:
            raise ConfigError(f"[[contract]] {one.name}: small and large are one model.", "Name two.")
    policies = {one.name: policy(settings, one) for one in settings.contracts}
    watch = Watch(tools.store, settings.contracts, policies)
    shadows = Shadows(desk, watch)
    assert tools.thresholds  # noqa: S101 - a system's tools have them
    tools.thresholds.add(watch.moved)
    tools.starting(watch.start)
    tools.closing(shadows.close)
    recorders = (*desk.recorders, shadows)
    return msgspec.structs.replace(desk, router=Promised(desk.router, watch), recorders=recorders)


def _paced(desk: Desk, settings: Settings, tools: Tools) -> Desk:
    """The desk with its money ceilings held; thresholds fall from where the promises have put them."""
    from trimtab.route._paced import Paced, Pacer

    for one in settings.paces:
        _known(f"[[pace]] {one.name}", (one.small, one.large), desk.specs)
        if desk.specs[one.large].price is None:
            raise ConfigError(f"[[pace]] {one.name}: the price of {one.large} is unknown.", "Give the model its price.")
    assert tools.thresholds  # noqa: S101 - a system's tools have them
    pacers = tuple(Pacer(one, tools.store) for one in settings.paces)
    for pacer in pacers:
        tools.thresholds.add(pacer.moved)
        tools.starting(pacer.refresh)
        tools.closing(pacer.close)
    paced = Paced(desk.router, pacers)
    return msgspec.structs.replace(desk, router=paced, recorders=(*desk.recorders, paced))


async def seats(system: System, given: Iterable[Json]) -> tuple[Seat, ...]:
    """The recipe's verifiers with others laid over them by name, built and started. Raises `ConfigError`."""
    starting: list[Callable[[], Awaitable[Any]]] = []
    tools = msgspec.structs.replace(system.tools, starting=starting.append)
    found = {seat.name: seat for seat in system.desk.verifiers}
    for table in given:
        if not isinstance(kind := table.get("kind"), str):
            raise ConfigError("A verifier needs a kind.", 'Write kind = "...": the files in verify/ are the kinds.')
        options = {name: value for name, value in table.items() if name not in ("kind", "name")}
        part = Part(kind=kind, name=str(table.get("name", kind)), options=options)
        found[part.name] = Seat(name=part.name, judge=_build("verify", part, tools))
    for start in starting:
        await start()
    return tuple(found.values())


def _build(stage: str, part: Part, tools: Tools) -> Any:
    given = load.options(stage, part.kind, part.options)
    built = load.kind(stage, part.kind).build(given, msgspec.structs.replace(tools, name=part.name))
    return load.fits(stage, part.kind, built)


def _seat(part: GuardPart, tools: Tools) -> Seat:
    return Seat(
        name=part.name, judge=_build("guard", part, tools), action=part.action, fail_open=part.fail == "open",
        shadow=part.shadow, on=frozenset(part.on),
    )  # fmt: skip


def _model(part: ModelPart, spec: ModelSpec, tools: Tools) -> Model:
    """A rung, masked where it is not local: masking is an edge, on unless the model's settings say `mask = false`."""
    tools = msgspec.structs.replace(tools, spec=spec)
    model = _build("answer", part, tools)
    if masks(part, spec):
        wrap = load.kind("answer", "masked")
        model = wrap.build(wrap.Options(), msgspec.structs.replace(tools, name=part.name, inner=model))
    return _reading(part, _thinking(part, model))


def _thinking(part: ModelPart, model: Model) -> Model:
    """A model that may think first, where the settings say for how long."""
    if part.think is None:
        return model
    from trimtab.answer._thought import Thinking

    return Thinking(model, part.name, part.think)


def _reading(part: ModelPart, model: Model) -> Model:
    """A model that writes, given numbered passages where the settings say `evidence`; the reader takes them itself."""
    own = load.kind("answer", part.kind).spec(load.options("answer", part.kind, part.options))
    if "evidence" not in (part.abilities or ()) or "evidence" in own.abilities:
        return model
    from trimtab.answer._grounded import Grounded

    return Grounded(model)


def masks(part: ModelPart, spec: ModelSpec) -> bool:
    """Whether personal data is replaced before the model sees it."""
    return part.mask if part.mask is not None else spec.where != "local"


def _spec(part: ModelPart) -> ModelSpec:
    """What the kind says of itself, with what the settings say laid over it."""
    said = {"where": part.where, "price": part.price, "context": part.context}
    changes: dict[str, Any] = {key: value for key, value in said.items() if value is not None}
    if part.abilities is not None:
        changes["abilities"] = frozenset(part.abilities)
    given = load.options("answer", part.kind, part.options)
    own = load.kind("answer", part.kind).spec(given)
    here = HERE if own.where == "local" and part.where != "remote" and not part.mask else ""
    spec = msgspec.structs.replace(own, name=part.name, region=part.region or here, **changes)
    return msgspec.structs.replace(spec, abilities=spec.abilities | {"resume"}) if part.resume else spec


def _stamp(parts: Sequence[ModelPart], specs: Mapping[str, ModelSpec]) -> str:
    """The same only for the same models, those from the environment too; the values of secrets are not in it."""
    models = [(part, specs[part.name]) for part in parts]
    return hashlib.sha256(msgspec.json.encode(models, order="deterministic")).hexdigest()
