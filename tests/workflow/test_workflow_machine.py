"""Runs as a state machine: in whatever order processes die, go on and people decide, every item ends once.

Each process is a system of its own on one database; it dies at any write or side effect, in the middle of several items
and of fan-outs that run at once. What an item has come to never changes; a side effect never happens twice; and in the
end what is done has done all of its effects, and what failed has taken back each of them.
"""

import asyncio
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from _works import defined, system, write
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from trimtab.approve import _tickets
from trimtab.store.tables import metadata
from trimtab.testing import Says
from trimtab.workflow import run as runs

ITEMS = tuple({"n": n, "list": list(range(n)), "bad": n == 2} for n in range(4))


class Killed(BaseException):
    """The process is gone."""


class Process:
    """A process's way to the disk, and to the world; once dead it reaches neither."""

    heads = ()

    def __init__(self, disk: Any, world: list[str], at: int) -> None:
        self.disk, self.world, self.left = disk, world, at
        self.say = lambda _: None

    def tick(self) -> None:
        self.left -= 1
        if self.left == 0 or self.left < -10_000:
            self.left = -10_001
            raise Killed

    async def write(self, statement: Any, row: Any, *, durable: bool) -> None:
        await asyncio.sleep(0)
        self.tick()
        with self.disk.begin() as connection:
            connection.execute(statement, row)
        self.tick()

    async def transact(self, fn: Any) -> Any:
        await asyncio.sleep(0)
        self.tick()
        with self.disk.begin() as connection:
            return fn(connection)

    async def read(self, statement: Any) -> Any:
        await asyncio.sleep(0)
        with self.disk.connect() as connection:
            return connection.execute(statement).all()

    async def act(self, what: str, key: str) -> dict[str, str]:
        await asyncio.sleep(0)
        self.tick()
        self.world.append(f"{what} {key}")
        self.tick()
        return {"what": what}


def flow(process: Process, repeat: str) -> Any:
    """Asks, acts, fans out, loops, asks a person; and fails in the end where the item is bad."""

    def act(name: str, what: str) -> dict[str, Any]:
        def one(name: str, what: str) -> dict[str, Any]:
            said = {"what": what}
            return {
                "name": name,
                "kind": "call",
                "function": "act",
                "effect": True,
                "arguments": said,
                "repeat": repeat,
            }

        return {**one(name, what), "undo": one(f"un{name}", f"-{what}")}

    return defined(
        {"name": "q", "kind": "ask", "ask": "{input.n}"},
        act("a", "a"),
        {
            "name": "all", "kind": "each", "over": "{input.list}", "at_once": 3, "steps": [
                {"name": "each_q", "kind": "ask", "ask": "{item}"}, act("b", "b{item}"),
            ],
        },
        {"name": "p", "kind": "person", "ask": "?", "answer": "yes", "otherwise": "bad"},
        {
            "name": "bad", "kind": "set", "values": {"bad": "{input.bad}"},
            "next": [{"to": "fail", "when": [{"field": "bad.bad", "op": "==", "value": True}]}, {"to": "c"}],
        },
        act("c", "c"),
        functions={"act": process.act}, limits={"concurrency": 3},
    )  # fmt: skip


class Runs(RuleBasedStateMachine):
    @initialize(repeat=st.sampled_from(["person", "same_key"]))
    def begin(self, repeat: str) -> None:
        self.repeat = repeat
        self.home = tempfile.TemporaryDirectory()
        self.disk = create_engine("sqlite://", poolclass=StaticPool)
        metadata.create_all(self.disk)
        self.world: list[str] = []
        self.ended: dict[int, Any] = {}
        self.path = write(Path(self.home.name), *ITEMS)

    @rule(at=st.integers(1, 60))
    def dies(self, at: int) -> None:
        self._go(at)

    @rule()
    def goes_on(self) -> None:
        self._go(0)

    @rule(yes=st.booleans())
    def decides(self, yes: bool) -> None:
        asyncio.run(self._decide(yes))

    @invariant()
    def no_side_effect_happens_twice(self) -> None:
        many = Counter(self.world)
        if self.repeat == "same_key":  # the other side knows the key, and acts once on each
            many = Counter(set(self.world))
        assert all(count == 1 for count in many.values()), many

    def teardown(self) -> None:
        if not hasattr(self, "disk"):
            return
        for _ in range(40):
            said = self._go(0)
            if all(one["state"] in ("done", "failed") for one in said):
                break
            asyncio.run(self._decide(True))
        assert [one["line"] for one in said] == [1, 2, 3, 4]
        for line, one in enumerate(said, 1):
            did = {effect.split(" ")[0] for effect in self.world if f":{line}:" in effect}
            if one["state"] == "done":
                assert did == {"a", "c", *(f"b{n}" for n in range(line - 1))}, (line, did)
            else:
                assert one["state"] == "failed", one
                back = {what[1:] for what in did if what.startswith("-")}
                assert back == {what for what in did if not what.startswith("-")}, (line, did)
        self.disk.dispose()
        self.home.cleanup()

    def _go(self, at: int) -> list[Any]:
        process = Process(self.disk, self.world, at)
        try:
            said = asyncio.run(self._run(process))
        except Killed:
            return []
        for one in said:
            if one["state"] in ("done", "failed"):
                assert self.ended.setdefault(one["line"], one) == one, "what an item has come to never changes"
        return said

    async def _run(self, process: Process) -> list[Any]:
        async with system(Path(self.home.name), process, models={"large": Says("Yes.")}) as on:
            own = flow(process, self.repeat)
            run = await runs.chosen(on.store, own, self.path, resume=True)
            await runs.go(on, own, run)
            return await runs.told(on.store, run)

    async def _decide(self, yes: bool) -> None:
        """What happened is confirmed and what did not is denied; all else as it pleases the person."""
        process = Process(self.disk, [], 0)
        for ticket in await _tickets.list(process, "pending"):
            asked = str(ticket.messages[0]["content"])
            key = asked.partition(" key ")[2].partition(" ")[0].rstrip(".")
            happened = any(one.endswith(f" {key}") for one in self.world)
            if ticket.code == "undo_unknown" and not happened:
                self.world.append(f"-{self._taken(key)} {key}")  # by hand
            if ticket.code == "undo_unknown" or (happened if ticket.code == "effect_unknown" else yes):
                await _tickets.approve(process, ticket.id, "ann")
            else:
                await _tickets.deny(process, ticket.id, "ann", "no")

    def _taken(self, key: str) -> str:
        """What the undo with this key takes back."""
        of = key.replace("(undo)", "")
        return next(one.split(" ")[0] for one in self.world if one.endswith(f" {of}"))


TestRuns = Runs.TestCase
TestRuns.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
