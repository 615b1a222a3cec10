"""A whole run: the lines of an input, each an item, so many at a time; begun once, gone on with as often as need be."""

import asyncio
import fcntl
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.errors import ConfigError, RequestError
from trimtab.money import usd
from trimtab.types import Json
from trimtab.workflow import fits, journal
from trimtab.workflow.ask import asker
from trimtab.workflow.define import Defined, every
from trimtab.workflow.drive import Bench, Drive, Stopped
from trimtab.workflow.journal import Item, Run, open_items
from trimtab.workflow.result import Waits
from trimtab.workflow.steps import Ask, Flow, Plan, Post

if TYPE_CHECKING:
    from trimtab.store.engine import Store
    from trimtab.wiring import System

LONGEST = 1_000_000
"""Bytes of the longest line of an input."""
LARGEST = 500_000_000
"""Bytes of the largest input."""
SHOWN = {"todo": "todo", "undoing": "waiting"}
"""How the state of an item that is not at its end is told, where that is not its name."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How many items of a run are at their end, and how many wait."""

    total: int
    done: int = 0
    failed: int = 0
    waiting: int = 0

    @property
    def left(self) -> int:
        return self.total - self.done - self.failed - self.waiting


async def chosen(
    store: "Store", defined: Defined, path: Path, *, resume: bool = False, again: bool = False
) -> Run:  # fmt: skip
    """The run of a flow on the input at `path`: with `resume` the last one where there is one, else a new one.

    Raises `RequestError` for an input that cannot be read; with code `run_unfinished` where the last run on the same
    input is not over and neither `resume` nor `again` was asked for; with `flow_changed` where it is to go on and began
    with another definition.
    """
    raw, here = _raw(path), Path.cwd() / path
    digest = hashlib.sha256(raw).hexdigest()
    last = await journal.last(store, defined.flow.name, digest)
    if last and resume:
        if last.ended is None and last.digest != defined.digest:
            raise RequestError(
                f"The flow was changed since {last.id} began.",
                "Put it back to go on, or start anew: --again.",
                code="flow_changed",
            )
        return last
    if last and last.ended is None and not again:
        raise RequestError(
            f"{last.id} on the same input is not over.",
            "Go on with it: --resume. Or do everything once more, its side effects too: --again.",
            code="run_unfinished",
        )
    items = tuple(lines(raw, defined.flow))
    run = Run(
        id=journal.new_id(), flow=defined.flow.name, digest=defined.digest, source=str(defined.file),
        input=str(here), input_digest=digest, total=len(items), created=time.time(),
    )  # fmt: skip
    await journal.create(store, run, items)
    return run


def lines(raw: bytes, flow: Flow) -> Iterator[Item]:
    """The items of an input, blank lines left out; a line that is none is an item that has failed."""
    for number, line in enumerate(raw.split(b"\n"), 1):
        if line.strip():
            text, why = _line(line, flow)
            if why:
                yield Item(n=number, input=text, state="failed", step="input", code="bad_line", why=why)
            else:
                yield Item(n=number, input=text, state="todo")


async def go(
    system: "System", defined: Defined, run: Run, tell: Callable[[Progress], None] = lambda _: None,
    stopping: Callable[[], bool] = lambda: False,
) -> None:  # fmt: skip
    """Take every item that is not at its end as far as it goes; `stopping` ends it after the steps that run.

    Raises `RequestError` with code `run_held` while another process is at it; `StorageError`, `ConfigError`.
    """
    with held(system.settings.home, run.id):
        items = await journal.items(system.store, run.id)
        bench = await _bench(system, defined, run, stopping)
        await _Going(bench, items, tell).go(defined.flow.limits.concurrency)
        left = open_items(await journal.items(system.store, run.id))
        if not left and run.ended is None:
            await journal.end(system.store, run.id, time.time())


async def told(store: "Store", run: Run) -> list[Json]:
    """One object a line of the input, in its order: its state, and its result, its fault, or whom it waits for."""
    spent, waiting = await journal.spent(store, run.id), await journal.tickets(store, run.id)
    return [_told(item, spent.get(item.n, 0), waiting.get(item.n, ())) for item in await journal.items(store, run.id)]


@contextmanager
def held(home: Path, run: str) -> Iterator[None]:
    """Nobody else goes on with the run meanwhile; the system lets go of it when the process ends, however it does.

    Raises `RequestError`, `ConfigError` where the state folder takes no file.
    """
    folder = home / "runs"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (folder / f"{run}.lock").open("w")
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror}.", "Make it writable.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RequestError(
                f"Another process is at {run}.", "Wait for it, or stop it first.", code="run_held"
            ) from None
        yield


class _Going:
    """The items of a run under way."""

    def __init__(self, bench: Bench, items: tuple[Item, ...], tell: Callable[[Progress], None]) -> None:
        self._bench, self._tell = bench, tell
        self._todo = iter(open_items(items))
        states = [item.state for item in items]
        self._counts = {"done": states.count("done"), "failed": states.count("failed"), "waiting": 0}
        self._total = len(items)
        self._fault: BaseException | None = None

    async def go(self, concurrency: int) -> None:
        await asyncio.gather(*(self._work() for _ in range(concurrency)))
        if self._fault:
            raise self._fault

    async def _work(self) -> None:
        """Item after item; after a fault that is not an item's, none is begun."""
        for item in self._todo:
            if self._fault or self._bench.stopping():
                return
            try:
                result = await Drive(self._bench, item).run()
            except Stopped:
                return
            except Exception as error:  # noqa: BLE001 - the database's, the settings', or our own: raised at the end
                self._fault = self._fault or error
                return
            name = "waiting" if isinstance(result, Waits) else "failed" if hasattr(result, "code") else "done"
            self._counts[name] += 1
            self._tell(Progress(total=self._total, **self._counts))


async def _bench(system: "System", defined: Defined, run: Run, stopping: Callable[[], bool]) -> Bench:
    from trimtab import settings
    from trimtab.workflow import planned

    steps = list(every(defined.flow.steps))
    asks = [planned.asking(step) if isinstance(step, Plan) else step for step in steps if isinstance(step, Ask | Plan)]
    posts = [one for step in steps for one in (step, getattr(step, "undo", None)) if isinstance(one, Post)]
    secrets = {post.key_env: settings.variable(post.key_env) for post in posts if post.key_env}
    if missing := sorted(name for name, value in secrets.items() if not value):
        raise ConfigError(f"The flow needs {', '.join(missing)}.", "Set the variable in the environment.")
    return Bench(
        defined=defined, run=run.id, store=system.store, asker=await asker(system, asks), stopping=stopping,
        personal=system.tools.personal, networks=system.tools.networks, secret=secrets.get,
    )  # fmt: skip


def _raw(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST:
            raise RequestError(f"{path} has more than {LARGEST} bytes.", "Split it.", param="input")
        return path.read_bytes()
    except OSError as error:
        raise RequestError(
            f"{path} cannot be read: {error.strerror}.", "Name a file with one JSON object a line.", param="input"
        ) from error


def _line(line: bytes, flow: Flow) -> tuple[str | None, str]:
    """A line's text, and why it is no item."""
    if len(line) > LONGEST:
        return None, f"The line has {len(line)} bytes, more than {LONGEST}."
    try:
        value = msgspec.json.decode(line)
        text = line.strip().decode()
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return None, f"The line is not JSON: {error}."
    if not isinstance(value, dict):
        return text, "The line is no JSON object."
    why = fits.mismatch(flow.input, value) if flow.input is not None else ""
    return text, f"The line is not what the flow takes: {why}." if why else ""


def _told(item: Item, cost: int | None, tickets: tuple[str, ...]) -> Json:
    said: Json = {"line": item.n, "state": SHOWN.get(item.state, item.state), "cost_usd": usd(cost)}
    if item.state == "done":
        return {**said, "result": item.result}
    fault: dict[str, Any] = {"step": item.step, **({"code": item.code} if item.code else {}), "why": item.why}
    if item.state in ("waiting", "undoing"):
        said["tickets"] = list(tickets)
    return said if item.state == "todo" else {**said, "error" if item.state != "waiting" else "waits": fault}
