"""The durable side of a run: its items and the journal of their steps, in the system's database.

Every method that writes returns once it is on disk.
"""

import secrets
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec
from sqlalchemy import Connection, bindparam, func, select

from trimtab.errors import NotFoundError, RequestError
from trimtab.money import total
from trimtab.store.sqlite import upsert
from trimtab.store.tables import flow_items, flow_runs, flow_steps
from trimtab.workflow.encoding import decoded, encoded

if TYPE_CHECKING:
    from trimtab.store.engine import Store

State: TypeAlias = Literal["begun", "waiting", "done", "failed"]
Fate: TypeAlias = Literal["todo", "waiting", "undoing", "done", "failed"]
OPEN = ("todo", "waiting", "undoing")
"""States of an item that is not at its end."""
TEXTS = ("output", "undo", "cost")
"""Fields of a row that its table has in another form."""
AFTER = "\U0010ffff"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One step that an item went through, or is in: see the table `flow_steps`; `cost` in nanodollars.

    `undo` is what would take it back: the filled body or arguments of its undo, None where it has none.
    """

    scope: str
    n: int
    seq: int
    step: str
    state: State
    key: str
    next: str = ""
    output: Any = None
    undo: Any = None
    ticket: str = ""
    cost: int | None = 0


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the input; `input` is the line as it was read, None where it could not be."""

    n: int
    input: str | None
    state: Fate
    result: Any = None
    step: str = ""
    code: str = ""
    why: str = ""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run; times in epoch seconds, `ended` None while an item may go on."""

    id: str
    flow: str
    digest: str
    source: str
    input: str
    input_digest: str
    total: int
    created: float
    ended: float | None = None


_I, _S = flow_items.c, flow_steps.c
INTENT = flow_steps.insert()
SETTLED = upsert(flow_steps)
MOVED = (
    flow_items.update()
    .where(_I.run == bindparam("b_run"), _I.item == bindparam("b_item"))
    .values({name: bindparam(name) for name in ("state", "result", "step", "code", "why", "at")})
)
ENDED = flow_runs.update().where(flow_runs.c.id == bindparam("b_run")).values(ended=bindparam("ended"))


async def create(store: "Store", run: Run, items: Sequence[Item]) -> None:
    """A run and all its items in one transaction: there is never half an input. Raises `StorageError`."""
    now = time.time()

    def created(connection: Connection) -> None:
        connection.execute(flow_runs.insert().values(**msgspec.structs.asdict(run)))
        if items:
            connection.execute(flow_items.insert(), [{"run": run.id, **_row(item, now)} for item in items])

    await store.transact(created)


async def find(store: "Store", id: str) -> Run:
    """The run with this id, or the only one whose id begins so. Raises `NotFoundError`, `RequestError`."""
    r = flow_runs.c
    rows = await store.read(select(flow_runs).where(r.id >= (id or AFTER), r.id < id + AFTER).order_by(r.id).limit(2))
    exact = [row for row in rows if row.id == id] or rows
    if len(exact) == 1:
        return _run(exact[0])
    if rows:
        raise RequestError(f"Several runs begin with {id!r}.", "Give more of it.", param="run", code="ambiguous_id")
    raise NotFoundError(f"There is no run {id!r}.", "See those that there are with `trimtab flow list`.", param="run")


async def last(store: "Store", flow: str, input_digest: str) -> Run | None:
    """The last run of a flow on the same input."""
    r = flow_runs.c
    query = select(flow_runs).where(r.input_digest == input_digest, r.flow == flow).order_by(r.id.desc()).limit(1)
    rows = await store.read(query)
    return _run(rows[0]) if rows else None


async def runs(store: "Store", n: int) -> tuple[Run, ...]:
    """The last `n` runs, the latest first."""
    return tuple(_run(row) for row in await store.read(select(flow_runs).order_by(flow_runs.c.id.desc()).limit(n)))


async def items(store: "Store", run: str) -> tuple[Item, ...]:
    """The items of a run in the order of the input."""
    rows = await store.read(select(flow_items).where(_I.run == run).order_by(_I.item))
    return tuple(_item(row) for row in rows)


async def counts(store: "Store", run: str) -> dict[str, int]:
    """How many items of a run are in each state."""
    rows = await store.read(select(_I.state, func.count().label("many")).where(_I.run == run).group_by(_I.state))
    return {row.state: row.many for row in rows}


async def spent(store: "Store", run: str) -> dict[int, int | None]:
    """Nanodollars by item; None where the cost of one of its steps is unknown."""
    rows = await store.read(select(_S.item, _S.cost_nano).where(_S.run == run))
    found: dict[int, int | None] = {}
    for row in rows:
        found[row.item] = total((found.get(row.item, 0), row.cost_nano))
    return found


async def tickets(store: "Store", run: str) -> dict[int, tuple[str, ...]]:
    """The tickets that its steps wait for, by item."""
    query = select(_S.item, _S.ticket).where(_S.run == run, _S.state == "waiting").order_by(_S.item, _S.seq)
    found: dict[int, tuple[str, ...]] = {}
    for row in await store.read(query):
        found[row.item] = (*found.get(row.item, ()), row.ticket)
    return found


async def forget(store: "Store", run: str) -> None:
    """Take a run out of the database with all its texts; tickets and traces stay. Raises `StorageError`."""

    def forgotten(connection: Connection) -> None:
        connection.execute(flow_runs.delete().where(flow_runs.c.id == run))

    await store.transact(forgotten)


class Journal:
    """The journal of one item."""

    def __init__(self, store: "Store", run: str, item: int) -> None:
        self.store, self.run, self.item = store, run, item

    async def rows(self) -> tuple[Row, ...]:
        """All that was written, in the order of `seq`."""
        query = select(flow_steps).where(_S.run == self.run, _S.item == self.item).order_by(_S.seq)
        return tuple(_step(row) for row in await self.store.read(query))

    async def intend(self, row: Row) -> None:
        """Write down a side effect before it happens. Raises `StorageError` where somebody else was quicker."""
        await self.store.write(INTENT, self._values(row), durable=True)

    async def settle(self, row: Row) -> None:
        """Write down how a step stands, in the place of what stood there."""
        await self.store.write(SETTLED, self._values(row), durable=True)

    async def move(self, state: Fate, *, step: str = "", code: str = "", why: str = "", result: Any = None) -> None:
        """Write down how the item stands."""
        row = {
            "b_run": self.run, "b_item": self.item, "state": state, "step": step, "code": code, "why": why,
            "result": None if result is None else encoded(result), "at": time.time(),
        }  # fmt: skip
        await self.store.write(MOVED, row, durable=True)

    def _values(self, row: Row) -> dict[str, Any]:
        values = {name: getattr(row, name) for name in Row.__struct_fields__ if name not in TEXTS}
        told = {name: None if (value := getattr(row, name)) is None else encoded(value) for name in ("output", "undo")}
        return {"run": self.run, "item": self.item, **values, **told, "cost_nano": row.cost, "at": time.time()}


async def end(store: "Store", run: str, ended: float | None) -> None:
    """Write down that nothing of a run can go on (or, with None, that something can)."""
    await store.write(ENDED, {"b_run": run, "ended": ended}, durable=True)


def new_id() -> str:
    """Sorts by time and is a header's and a file's name: 48 bits of milliseconds, then 40 random bits."""
    return f"run_{int(time.time() * 1000):012x}{secrets.token_hex(5)}"


def open_items(found: Iterable[Item]) -> tuple[Item, ...]:
    """Those that are not at their end."""
    return tuple(item for item in found if item.state in OPEN)


def _row(item: Item, now: float) -> dict[str, Any]:
    return {
        "item": item.n, "input": item.input, "state": item.state, "result": None, "step": item.step,
        "code": item.code, "why": item.why, "at": now,
    }  # fmt: skip


def _run(row: Any) -> Run:
    return Run(**{name: getattr(row, name) for name in Run.__struct_fields__})


def _item(row: Any) -> Item:
    return Item(
        n=row.item, input=row.input, state=row.state, result=None if row.result is None else decoded(row.result),
        step=row.step, code=row.code, why=row.why,
    )  # fmt: skip


def _step(row: Any) -> Row:
    return Row(
        scope=row.scope, n=row.n, seq=row.seq, step=row.step, state=row.state, key=row.key, next=row.next,
        output=None if row.output is None else decoded(row.output),
        undo=None if row.undo is None else decoded(row.undo), ticket=row.ticket, cost=row.cost_nano,
    )  # fmt: skip
