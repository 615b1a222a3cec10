"""Keeps one llama.cpp child process alive: starts it, knows its address, restarts it with back-off when it dies."""

import asyncio
import contextlib
import secrets
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from trimtab.answer._llama import Job, Ready
from trimtab.errors import ConfigError

BACKOFF = (0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
"""Seconds before each restart in a row; an engine that has lived for the last of them starts again from the first."""
GRACE = 3.0


class Engine:
    """`url` and `key` are those of the living child, `url` None while there is none; `starts` counts them."""

    def __init__(self, job: Job, patience: float, say: Callable[[str], None]) -> None:
        self._job, self._patience, self._say = job, patience, say
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._log: deque[str] = deque(maxlen=12)
        self._stopping = False
        self.url: str | None = None
        self.key = ""
        self.starts = 0

    @property
    def pid(self) -> int | None:
        """The living child's process id."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Load the weights and begin to watch. Raises `ConfigError` where they cannot be loaded."""
        await self._spawn()
        self._watch = asyncio.create_task(self._watched())

    async def stop(self) -> None:
        """End the child and stop watching."""
        self._stopping = True
        try:
            if self._watch:
                self._watch.cancel()
                await asyncio.wait([self._watch])
        finally:
            await self._end()

    async def _spawn(self) -> None:
        self.key = secrets.token_urlsafe(24)
        job = msgspec.structs.replace(self._job, key=self.key)
        pipe = asyncio.subprocess.PIPE
        self._log.clear()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "trimtab.answer._llama", stdin=pipe, stdout=pipe, stderr=pipe
        )
        self._drain = asyncio.create_task(self._drained(self._process))
        try:
            ready = await asyncio.wait_for(self._told(self._process, job), self._patience)
        except BaseException as error:
            await self._end()
            if isinstance(error, TimeoutError):
                raise ConfigError(
                    f"{Path(job.path).name} was not loaded within {self._patience:g} s.", "Raise load, or use less."
                ) from error
            raise
        if ready.error:
            await self._end()
            raise ConfigError(
                f"The engine cannot load {job.path}: {ready.error}{self._last()}.",
                "The file is cut short, damaged, of an architecture this engine does not know, or too large to load.",
            )
        self.url, self.starts = ready.url, self.starts + 1

    async def _told(self, process: asyncio.subprocess.Process, job: Job) -> Ready:
        """The child's one line; a child that died of the weights has said nothing."""
        assert process.stdin  # noqa: S101 - it was asked for as a pipe
        assert process.stdout  # noqa: S101
        process.stdin.write(msgspec.json.encode(job) + b"\n")
        with contextlib.suppress(ConnectionError):
            await process.stdin.drain()
        try:
            if line := await process.stdout.readline():
                return msgspec.json.decode(line, type=Ready)
        except ValueError:  # no JSON, or a line without an end
            return Ready(error="the first line that its process wrote is not its address")
        return Ready(error=f"its process ended with code {await process.wait()}")

    async def _watched(self) -> None:
        """Restart the child whenever it ends."""
        failures = 0
        while not self._stopping:
            assert self._process  # noqa: S101 - spawned before the watch began
            began = time.monotonic()
            code = await self._process.wait()
            self.url = None
            failures = 0 if time.monotonic() - began > BACKOFF[-1] else failures
            await self._end()
            failures = await self._restarted(code, failures)

    async def _restarted(self, code: int, failures: int) -> int:
        """Try until one lives; the number of attempts in a row."""
        while True:
            pause = BACKOFF[min(failures, len(BACKOFF) - 1)]
            self._speak(f"The engine of {self._job.alias} ended with code {code}; it starts again in {pause:g} s.")
            await asyncio.sleep(pause)
            failures += 1
            try:
                await self._spawn()
            except Exception as error:  # noqa: BLE001 - whatever it was, the next attempt may do better
                self._speak(f"The engine of {self._job.alias} did not start: {error}")
                continue
            return failures

    def _speak(self, line: str) -> None:
        """Say it to whoever still listens: a broken pipe is no reason to stop watching."""
        with contextlib.suppress(Exception):
            self._say(line)

    async def _end(self) -> None:
        """Close its stdin, which ends it; a child that does not listen is killed."""
        process, self.url = self._process, None
        if process is None:
            return
        if process.stdin:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), GRACE)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                process.kill()
            await process.wait()
        await asyncio.wait([self._drain], timeout=1)

    async def _drained(self, process: asyncio.subprocess.Process) -> None:
        """Read its log, so that it never blocks, and keep the last lines."""
        assert process.stderr  # noqa: S101
        while chunk := await process.stderr.read(65536):
            self._log.extend(line for line in chunk.decode("utf-8", "replace").splitlines() if line.strip())

    def _last(self) -> str:
        """What the engine said of its failure, if anything."""
        telling = [line.strip() for line in self._log if "error" in line.lower() or "fail" in line.lower()]
        return f" ({telling[0][:300]})" if telling else ""
