"""A system of fakes on a real database, and flows on it."""

import asyncio
import json
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from trimtab.approve import _tickets, policy
from trimtab.flow import Desk
from trimtab.judge import Seat
from trimtab.settings import Settings
from trimtab.store.engine import Store
from trimtab.testing import Says, Takes
from trimtab.types import ModelSpec
from trimtab.wiring import System, bench_tools
from trimtab.workflow import define
from trimtab.workflow import run as runs
from trimtab.workflow.define import Defined

CHAT = frozenset({"chat", "json", "question"})


class Collects:
    """A recorder that keeps every trace."""

    def __init__(self):
        self.traces = []

    async def record(self, trace):
        self.traces.append(trace)


def desk(models=None, *, router=None, verifiers=(), approver=None, retriever=None, recorders=()):
    models = models or {"large": Says("Yes.", confidence=0.9)}
    return Desk(
        guards=(), router=router or Takes(), retriever=retriever, models=models,
        specs={name: ModelSpec(name=name, abilities=CHAT | {"evidence"}) for name in models},
        verifiers=tuple(Seat(name=name, judge=judge) for name, judge in verifiers),
        approver=approver, recorders=tuple(recorders),
    )  # fmt: skip


@asynccontextmanager
async def system(home: Path, store=None, **parts):
    """A system whose desk is made of `parts`; with `inbox` a person's decisions are asked for as a recipe would."""
    opened = store or Store.open(home / "trimtab.db")
    tools = msgspec.structs.replace(bench_tools(home), store=lambda: opened)
    if parts.pop("inbox", False):
        parts["approver"] = policy.build(policy.Options(), tools)
    try:
        settings = Settings(name="bench", folder=home, home=home)
        yield System(desk=desk(**parts), settings=settings, tools=tools, found=())
    finally:
        if store is None:
            await opened.close()


def defined(*steps, functions=None, **more) -> Defined:
    flow = define.parse({"name": "test", "step": list(steps), **more})
    return Defined(flow=flow, file=Path("test.toml"), functions=functions or {})


def write(home: Path, *items) -> Path:
    path = home / "input.jsonl"
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in items), "utf-8")
    return path


async def through(on: System, flow: Defined, path: Path, *, resume=False, again=False):
    """What each line came to."""
    run = await runs.chosen(on.store, flow, path, resume=resume, again=again)
    await runs.go(on, flow, run)
    return await runs.told(on.store, run)


async def decide(on: System, *, approve=True, answer=None, n=100):
    """Decide all that waits; how many they were."""
    waiting = await _tickets.list(on.store, "pending", n)
    for ticket in waiting:
        if approve:
            await _tickets.approve(on.store, ticket.id, "ann", answer=answer)
        else:
            await _tickets.deny(on.store, ticket.id, "ann", "no")
    return len(waiting)


def done(home, flow, *items, **parts):
    """The lines of one run that needs nobody."""

    async def go():
        async with system(home, **parts) as on:
            return await through(on, flow, write(home, *items))

    return asyncio.run(go())
