"""Flows in processes that are killed: at the k-th boundary, for every k, and gone on with; one JSON line for each k.

python _killed.py FOLDER URL FLOW FIRST STEP

Everything is imported and run once here, and each run is then a fork of this process, killed by SIGKILL. Boundaries
are before every write to the database (what is on disk after one is what is there before the next), and before, in the
middle of and after every side effect.
"""

import asyncio
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import aiohttp  # noqa: F401 - imported before the forks, so that each is fast
from _works import defined, system, through, write

from trimtab.approve import _tickets
from trimtab.store import sqlite
from trimtab.store.engine import Store
from trimtab.testing import Says
from trimtab.workflow import effect

ITEMS = {"whole": ({"n": 1, "list": ["a", "b"]}, {"n": 2, "list": []}), "undone": ({"n": 1, "list": ["a", "b"]},)}
MOST = 400
"""More boundaries than any of the flows has."""
sqlite.PRAGMAS = (*(one for one in sqlite.PRAGMAS if "synchronous" not in one), "PRAGMA synchronous = OFF")
"""What a killed process wrote is there without a sync: that is for power cuts, which no test here makes."""


class Clock:
    """Counts boundaries, and kills this process at the one that is wished."""

    def __init__(self, at):
        self.at, self.now = at, 0

    def tick(self):
        self.now += 1
        if self.now == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def ticking(clock):
    """The store's writes with a boundary before each, the POSTs with one before and one after."""

    def around(real, after):
        async def ticked(*args, **more):
            clock.tick()
            done = await real(*args, **more)
            if after:
                clock.tick()
            return done

        return ticked

    Store.write, Store.transact = around(Store.write, False), around(Store.transact, False)
    effect.post = around(effect.post, True)


def flows(folder, url, clock):
    """By name: all kinds of steps that end well, and one that fails at its end and is taken back."""

    def note(what, key):
        clock.tick()
        with (folder / "effects").open("a") as file:
            file.write(f"{what} {key}\n")
            file.flush()
            os.fsync(file.fileno())
        clock.tick()
        return {"noted": what}

    def act(name, what):
        return {"name": name, "kind": "call", "function": "note", "effect": True, "arguments": {"what": what}}

    def posted(name):
        return {"name": name, "kind": "post", "url": url, "body": {"n": "{input.n}"}, "repeat": "same_key"}

    def undo(name, what):
        return {"undo": act(f"un{name}", what)}

    ask = {"name": "asked", "kind": "ask", "ask": "Say {input.n}"}
    each = {"name": "all", "kind": "each", "over": "{input.list}", "steps": [act("one", "{item}")], "at_once": 1}
    person = {"name": "seen", "kind": "person", "ask": "Fine?", "answer": "{asked.text}"}
    fails = {"name": "bad", "kind": "check", "value": "{input.n}", "schema": {"type": "string"}}
    limits = {"concurrency": 1}
    functions = {"note": note}
    return {
        "whole": defined(ask, person, act("first", "first"), each, posted("told"), limits=limits, functions=functions),
        "undone": defined(
            act("first", "first") | undo("first", "unfirst"),
            each | {"steps": [act("one", "{item}") | undo("one", "un{item}")]},
            posted("told"), fails, limits=limits, functions=functions,
        ),
    }  # fmt: skip


def forked(work):
    """Run `work` in a process of its own; whether it was killed."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return True
    if os.WEXITSTATUS(status):
        raise SystemExit(f"a run ended with {status}")
    return False


def work(folder, url, name, at, *, last=False):
    """One process: the run is begun or gone on with, as far as it goes; then a person decides what waits."""
    clock = Clock(at)
    if at >= 0:
        ticking(clock)

    async def go():
        async with system(folder, models={"large": Says("Yes.")}) as on:
            flow = flows(folder, url, clock)[name]
            path = write(folder, *ITEMS[name])
            for _ in range(20):
                said = await through(on, flow, path, resume=True)
                if not await settled(on, folder):
                    break
            if last:
                (folder / "said").write_text(json.dumps(said))

    asyncio.run(go())


async def settled(on, folder):
    """Decide what waits as a person would who looks: what happened is approved, what did not is denied."""
    waiting = await _tickets.list(on.store, "pending")
    happened = (folder / "effects").read_text() if (folder / "effects").exists() else ""
    for ticket in waiting:
        asked = str(ticket.messages[0]["content"])
        key = asked.partition(" key ")[2].partition(" ")[0].rstrip(".")
        if ticket.code == "effect_unknown" and f" {key}\n" not in happened:
            await _tickets.deny(on.store, ticket.id, "ann")
        else:
            await _tickets.approve(on.store, ticket.id, "ann")
    return len(waiting)


def main(root, url, name, first, step):
    (warm := root / f"{name}{first}warm").mkdir()
    work(warm, url, name, -1)
    (empty := root / f"{name}empty.db").unlink(missing_ok=True)
    asyncio.run(Store.open(empty).close())
    for at in range(first, MOST, step):
        folder = root / f"{name}{at}"
        folder.mkdir()
        shutil.copy(empty, folder / "trimtab.db")
        killed = forked(lambda: work(folder, url, name, at))  # noqa: B023 - it is called at once
        if killed and at % 3 == 0:  # and once more on its way on
            forked(lambda: work(folder, url, name, at // 2 + 1))  # noqa: B023
        forked(lambda: work(folder, url, name, 0, last=True))  # noqa: B023
        effects = (folder / "effects").read_text().splitlines() if (folder / "effects").exists() else []
        said = json.loads((folder / "said").read_text())
        print(json.dumps({"at": at, "killed": killed, "effects": effects, "said": said}), flush=True)
        if not killed:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
