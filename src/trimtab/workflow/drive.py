"""One item through its flow: step after step is done and written down, until the end, a failure or a wait."""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.workflow import machine, person
from trimtab.workflow.act import Acts
from trimtab.workflow.ask import Asker
from trimtab.workflow.define import Defined, every
from trimtab.workflow.encoding import decoded, encoded
from trimtab.workflow.journal import Item, Journal, Row
from trimtab.workflow.machine import RELEASE, Standing
from trimtab.workflow.result import Done, Fails, Result, Waits
from trimtab.workflow.steps import END, FAIL, WEEK, AnyStep, Call, Post
from trimtab.workflow.template import Missing, fill

if TYPE_CHECKING:
    from trimtab.egress import Network
    from trimtab.store.engine import Store

UNDO = "(undo)"
"""What the scopes begin with in which steps are taken back."""


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """What all items of a run share; `stopping` says that no further step is to begin."""

    defined: Defined
    run: str
    store: "Store"
    asker: Asker
    personal: "Callable[[str], Any]" = lambda _: ()
    networks: "tuple[Network, ...]" = ()
    secret: Callable[[str], str | None] = lambda _: None
    stopping: Callable[[], bool] = lambda: False


class Stopped(Exception):  # noqa: N818 - read as "the run was ..."
    """The run is to end before the next step."""


class Drive:
    """Drives one item. What was written before is read, not done again."""

    def __init__(self, bench: Bench, item: Item) -> None:
        self.bench, self.item = bench, item
        self.journal = Journal(bench.store, bench.run, item.n)
        self.steps = {step.name: step for step in every(bench.defined.flow.steps)}
        self.scopes: dict[str, list[Row]] = {}
        self._count = 0
        self._releasing = asyncio.Lock()
        self._acts = Acts(self)

    async def run(self) -> Result:
        """To the item's end, or to where it waits. Raises `Stopped`, `StorageError`, `ConfigError`."""
        for row in await self.journal.rows():
            self.scopes.setdefault(row.scope, []).append(row)
            self._count = max(self._count, row.seq + 1)
        if self.item.state == "undoing":
            result: Result = Fails(code=self.item.code, why=self.item.why, step=self.item.step)
        else:
            result = await self._through()
        if isinstance(result, Fails) and (undo := self._done()):
            await self.journal.move("undoing", step=result.step, code=result.code, why=result.why)
            if waits := await self._undone(undo):
                return waits
        await self._moved(result)
        return result

    async def walk(self, steps: tuple[AnyStep, ...], scope: str, outer: Mapping[str, Any]) -> Result:
        """Through the steps of one scope; what they gave, with what stood around them."""
        while True:
            now = machine.standing(steps, self.scopes.get(scope, ()))
            context = {**outer, **now.outputs}
            if now.at == END:
                return Done(output=context)
            if now.at == FAIL:
                return _failed(now)
            step = next(step for step in steps if step.name == now.at)
            waits = await self._step(steps, step, now, scope, context)
            if waits:
                return waits

    def row(self, step: str, scope: str, n: int) -> Row:
        """A row that is begun. Its key names the item's step for ever: on this run, of this item, in this place."""
        seq, self._count = self._count, self._count + 1
        key = f"{self.bench.run}:{self.item.n}:{scope}{n}"
        return Row(scope=scope, n=n, seq=seq, step=step, state="begun", key=key)

    async def intend(self, row: Row) -> Row:
        """Put the intent of a side effect on disk."""
        await self.journal.intend(row)
        return self._kept(row)

    async def settle(self, row: Row, **changes: Any) -> Row:
        """Put on disk how a row stands now."""
        row = msgspec.structs.replace(row, **changes)
        await self.journal.settle(row)
        return self._kept(row)

    async def released(self) -> Waits | Fails | None:
        """None where nothing of high impact has gone unseen; else a person is asked, once for all that came before."""
        async with self._releasing:
            rows = [row for rows in self.scopes.values() for row in rows]
            if not (unseen := machine.unreleased(rows, self.steps)):
                return None
            before = self.scopes.get(RELEASE, [])
            row = before[-1] if before and before[-1].state in ("begun", "waiting") else None
            row = row or await self.settle(self.row(RELEASE, RELEASE, len(before)))
            why = f"The step {unseen.step!r} marked this as something that could do harm if wrong."
            ask = f"May this item go on?\n{encoded({'input': self._input(), unseen.step: unseen.output})}"
            result = await self.decided(row, ask, "yes", code="high_impact", why=why)
            if isinstance(result, Done):
                await self.settle(row, state="done", output=result.output)
                return None
            return result

    async def decided(
        self, row: Row, ask: str, answer: Any, *, code: str, why: str, expires: float = WEEK
    ) -> Result:  # fmt: skip
        """What a person decided on a row's ticket, which is opened where there is none."""
        ticket = row.ticket
        if not ticket:
            ticket = await person.opened(self.bench.store, row.key, ask, answer, code=code, why=why, expires=expires)
            row = await self.settle(row, state="waiting", ticket=ticket)
        by = await person.decided(self.bench.store, ticket)
        if by.state == "pending":
            return Waits(ticket=ticket, why=why, step=row.step)
        if by.state != "approved" or by.answer is None:
            return Fails(code="denied" if by.state == "denied" else "ticket_expired", why=by.why or "A person said no.")
        return Done(output={"text": by.answer.text, "decided": "approved", "decided_by": by.by})

    async def _through(self) -> Result:
        """The item's own scope, then a person where one must look, then what comes of it."""
        try:
            context = {"input": self._input(), "run": {"id": self.bench.run, "line": self.item.n}}
            result = await self.walk(self.bench.defined.flow.steps, "", context)
            if isinstance(result, Done):
                if held := await self.released():
                    return msgspec.structs.replace(held, step=RELEASE)
                given = self.bench.defined.flow.result
                whole = {name: value for name, value in result.output.items() if name not in ("input", "run")}
                return Done(output=whole if given is None else fill(given, result.output))
        except Missing as missing:
            return Fails(code="missing_field", why=f"The flow's result: {missing}", step="result")
        return result

    async def _step(
        self, steps: tuple[AnyStep, ...], step: AnyStep, now: Standing, scope: str, context: Mapping[str, Any]
    ) -> Waits | None:
        """One step, written down; where it waits that is all there is for now."""
        if self.bench.stopping():
            raise Stopped
        row = now.open or self.row(step.name, scope, now.n)
        try:
            result = self._beyond(step, now) or await self._acts.act(step, row, context, fresh=now.open is None)
        except Missing as missing:
            result = Fails(code="missing_field", why=str(missing))
        if isinstance(result, Waits):
            return msgspec.structs.replace(result, step=step.name)
        row = next((held for held in self.scopes.get(scope, ()) if held.n == row.n), row)
        if isinstance(result, Fails):
            told = {"code": result.code, "why": result.why}
            after = FAIL if result.code == "too_many_steps" else step.otherwise or FAIL
            await self.settle(row, state="failed", output=told, next=after, cost=result.cost)
            return None
        after = machine.following(steps, step, {**context, step.name: result.output})
        undo = self._to_undo(step, {**context, step.name: result.output})
        await self.settle(row, state="done", output=result.output, next=after, undo=undo, cost=result.cost)
        return None

    def _beyond(self, step: AnyStep, now: Standing) -> Fails | None:
        """Whether a limit is reached."""
        if now.visits.get(step.name, 0) - (now.open is not None) >= step.times:
            return Fails(code="loop_limit", why=f"{step.name} was gone through {step.times} times, which is its limit.")
        if self._count > (most := self.bench.defined.flow.limits.steps):
            return Fails(code="too_many_steps", why=f"The item took {most} steps, which is the flow's limit.")
        return None

    def _to_undo(self, step: AnyStep, context: Mapping[str, Any]) -> Any:
        """What would take a step back, filled while all that it reads is there."""
        undo = step.undo if isinstance(step, Call | Post) else None
        if undo is None:
            return None
        try:
            return {"filled": fill(undo.arguments if isinstance(undo, Call) else undo.body, context)}
        except Missing as missing:
            return {"missing": str(missing)}

    def _done(self) -> list[Row]:
        """What is to be taken back, the last first."""
        return machine.to_undo((row for rows in self.scopes.values() for row in rows), self.steps)

    async def _undone(self, rows: list[Row]) -> Waits | None:
        """Take back what was done; where that cannot be confirmed a person is asked."""
        for done in rows:
            if self.bench.stopping():
                raise Stopped
            step: Any = self.steps[done.step]
            scope = f"{UNDO}{done.scope}"
            row = next((row for row in self.scopes.get(scope, ()) if row.n == done.n), None)
            if row and row.state in ("done", "failed"):
                continue
            fresh = row is None
            row = row or self.row(step.undo.name, scope, done.n)
            result = await self._acts.undo(step.undo, row, done.undo or {}, fresh=fresh)
            if isinstance(result, Waits):
                return msgspec.structs.replace(result, step=step.undo.name)
            row = next((held for held in self.scopes.get(scope, ()) if held.n == done.n), row)
            if isinstance(result, Fails):
                await self.settle(row, state="failed", output={"code": result.code, "why": result.why})
            else:
                await self.settle(row, state="done", output=result.output)
        return None

    async def _moved(self, result: Result) -> None:
        match result:
            case Done():
                await self.journal.move("done", result=result.output)
            case Fails():
                await self.journal.move("failed", step=result.step, code=result.code, why=result.why)
            case Waits():
                await self.journal.move("waiting", step=result.step, why=result.why)

    def _input(self) -> Any:
        return decoded(self.item.input or "null")

    def _kept(self, row: Row) -> Row:
        rows = self.scopes.setdefault(row.scope, [])
        at = next((at for at, held in enumerate(rows) if held.n == row.n), None)
        if at is None:
            rows.append(row)
        else:
            rows[at] = row
        return row


def _failed(now: Standing) -> Fails:
    """Why a scope came to `fail`: its last step gave nothing, or was led there."""
    row = now.failed
    if row is None or row.state != "failed":
        return Fails(code="led_to_fail", why="The flow says that such an item fails.", step=row.step if row else "")
    return Fails(code=row.output["code"], why=row.output["why"], step=row.step)
