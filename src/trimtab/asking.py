"""How a judge asks a model: by its name, within the limits of the request that is judged, as a step of its trace.

A verifier that needs another opinion, or a corrected answer, asks through `Tools.ask`. The call is subject to the same
limits of place, region and cost as any rung, what is personal is masked for it, and its cost is the request's.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from trimtab.errors import NotFoundError
from trimtab.ports import Model
from trimtab.trail import Trail
from trimtab.types import Answer, Evidence, ModelSpec, Request, Verdict

ASKED = "asked"
"""The code of a step in which a judge asked a model, whatever came of it: it is no rung's."""
_OPEN: ContextVar[tuple[Mapping[str, Model], Mapping[str, ModelSpec], Trail]] = ContextVar("asking")
_LADDER: ContextVar[tuple[str, ...]] = ContextVar("ladder", default=())


@contextmanager
def laddered(ladder: tuple[str, ...]) -> Iterator[None]:
    """Judges inside hold answers against this ladder, not that of the request: an audit's names one model alone."""
    token = _LADDER.set(ladder)
    try:
        yield
    finally:
        _LADDER.reset(token)


@contextmanager
def opened(models: Mapping[str, Model], specs: Mapping[str, ModelSpec], trail: Trail) -> Iterator[None]:
    """Judges inside may ask these models on this trail's account."""
    token = _OPEN.set((models, specs, trail))
    try:
        yield
    finally:
        _OPEN.reset(token)


def above(model: str, besides: Collection[str] = ()) -> ModelSpec | None:
    """The next rung above `model` on the ladder of the request that is judged, but for those `besides` whose opinion is
    asked anyhow; None at the top, and where nobody judges."""
    open_now = _OPEN.get(None)
    if open_now is None or open_now[2].decision is None:
        return None
    _, specs, trail = open_now
    ladder = _LADDER.get() or (trail.decision.ladder if trail.decision else ())
    higher = ladder[ladder.index(model) + 1 :] if model in ladder else ()
    return next((specs[name] for name in higher if name not in besides), None)


def spec(name: str) -> ModelSpec | None:
    """What is known of a model that may be asked; None for one that is none."""
    open_now = _OPEN.get(None)
    return open_now[1].get(name) if open_now else None


async def ask(name: str, request: Request, evidence: Evidence, judge: str) -> Answer | Verdict:
    """The answer of the model `name`; a verdict that is not ok where it may not be asked, passes or is down.

    Raises `NotFoundError` for a model that is none.
    """
    open_now = _OPEN.get(None)
    if open_now is None:
        return Verdict(ok=False, by=name, code="not_asked", why=f"{judge} is not judging on any request's account.")
    models, specs, trail = open_now
    if name not in models:
        raise NotFoundError(f"There is no model {name!r} for {judge} to ask.", f"There are: {', '.join(models)}.")
    spec = specs[name]
    if why := _kept(spec, request, trail):
        return Verdict(ok=False, by=name, code="not_asked", why=f"{name} may not be asked: {why}.")
    with trail.step("answer", name, spec.price) as step:
        step.code, step.why = "asked", f"Asked by {judge}."
        try:
            said = await models[name].answer(request, evidence, step.quiet(request))
        except Exception as error:  # noqa: BLE001 - the judge goes on without it
            said = step.lost(error)
        if isinstance(said, Verdict):
            step.passed(said)
            step.code, step.why = "asked", f"Asked by {judge}, in vain ({said.code}). {said.why}"
        else:
            step.usage = said.usage
    return said


def _kept(spec: ModelSpec, request: Request, trail: Trail) -> str:
    """Why a model may not be asked, "" where it may."""
    if "chat" not in spec.abilities:
        return "it takes no conversation"
    if trail.skips(spec, None):
        return "the text may not go there"
    return "" if trail.affords(spec, request) else "the request's cost limit does not allow it"
