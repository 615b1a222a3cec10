"""Runs a program and its tests where it can do no harm: the caller's side of the processes in `_jail`.

A program has no network, no file but the standard library (to read), no process or thread of its own, and so much
memory, CPU and time. Linux alone offers that: Landlock (5.13 and later) and seccomp, or bubblewrap and seccomp.
"""

import asyncio
import contextlib
import shutil
import socket
import struct
import sys
import sysconfig
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from trimtab.errors import ConfigError

JAIL = Path(__file__).parent / "_jail"
START = 20.0
"""Seconds in which the warm process must be ready."""
GRACE = 2.0
"""Seconds beyond a job's own after which its supervisor is given up."""
State: TypeAlias = Literal["passed", "failed", "raised", "timeout", "cpu", "memory", "output", "left", "refused"]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """`code` and then `tests`, in the same names; `seconds` in all, `cpu` of computing; `memory` and `output` bytes."""

    code: str
    tests: str = ""
    seconds: float = 10.0
    cpu: int = 5
    memory: int = 256 << 20
    output: int = 64 << 10


class End(msgspec.Struct, frozen=True, kw_only=True):
    """How it ended, why, what it printed, and the milliseconds that it took.

    failed: an assertion. raised: any other error, its own leaving too. left: it ended before its tests did. refused: it
    could not be confined, and did not run.
    """

    state: State
    why: str = ""
    output: str = ""
    ms: float = 0.0


class Sandbox:
    """The warm process, begun anew where it has died; `slots` programs run at a time."""

    def __init__(self, slots: int) -> None:
        self._room = asyncio.Semaphore(slots)
        self._begin = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self.walls = ""

    async def start(self) -> None:
        """Raises `ConfigError` where this machine cannot confine a program, and says what is missing."""
        async with self._begin:
            if self._process and self._process.returncode is None:
                return
            await self._end()
            command, self.walls = await asyncio.to_thread(_command)
            ours, theirs = socket.socketpair()
            with theirs:
                self._process = await asyncio.create_subprocess_exec(
                    *(part.replace("{fd}", str(theirs.fileno())) for part in command), env={}, cwd="/",
                    pass_fds=(theirs.fileno(),), start_new_session=True, stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
                )  # fmt: skip
            ours.setblocking(False)
            self._control = ours
            with contextlib.suppress(TimeoutError, OSError):
                async with asyncio.timeout(START):
                    if await asyncio.get_running_loop().sock_recv(ours, 1) == b"r":
                        return
            why = await self._end()
        raise ConfigError(f"The sandbox ({self.walls}) did not start: {why or 'it said nothing'}.", FIX)

    async def run(self, job: Job) -> End:
        """Raises `OSError` where the sandbox itself failed; the program has not passed then."""
        async with self._room:
            await self.start()
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            try:
                with theirs:
                    assert self._control  # noqa: S101 - it was just started
                    socket.send_fds(self._control, [b"j"], [theirs.fileno()])
                async with asyncio.timeout(job.seconds + GRACE):
                    return await _asked(ours, job)
            finally:
                ours.close()  # which ends the program, should it still run

    async def close(self) -> None:
        async with self._begin:
            await self._end()

    async def _end(self) -> str:
        """What it last said of itself."""
        if self._control:
            self._control.close()
            self._control = None
        process, self._process = self._process, None
        if process is None:
            return ""
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        assert process.stderr  # noqa: S101 - it was asked for as a pipe
        said = (await process.stderr.read(10_000)).decode("utf-8", "replace").strip()
        await process.wait()
        return said.splitlines()[-1][:300] if said else ""


FIX = "Use Linux 5.13 or later with Landlock on (security=landlock,...), or install bubblewrap; or take the kind out."


async def _asked(stream: socket.socket, job: Job) -> End:
    loop, said = asyncio.get_running_loop(), msgspec.json.encode(job)
    await loop.sock_sendall(stream, struct.pack("!I", len(said)) + said)
    found = b""
    while piece := await loop.sock_recv(stream, 65536):
        found += piece
    if len(found) < 4 or len(found) != 4 + struct.unpack("!I", found[:4])[0]:
        raise OSError("the sandbox's supervisor died")
    return msgspec.json.decode(found[4:], type=End)


def _command() -> tuple[list[str], str]:
    """The command of the warm process, and what its walls are. Raises `ConfigError` that says what is missing."""
    if sys.platform != "linux":
        raise ConfigError(f"Programs cannot be confined on {sys.platform}.", FIX)
    from trimtab.verify._jail import confine

    python = [sys.executable, "-I", "-S", "-B", str(JAIL), "{fd}"]
    if not confine.can_filter():
        raise ConfigError("This kernel does not filter system calls (seccomp) on this machine.", FIX)
    if version := confine.landlock_version():
        return [*python, "landlock"], f"Landlock {version} and seccomp"
    if bwrap := shutil.which("bwrap"):
        return [bwrap, *_bubble(), "--", *python, "bwrap"], "bubblewrap and seccomp"
    raise ConfigError("This kernel has no Landlock, or it is switched off, and there is no bubblewrap.", FIX)


def _bubble() -> list[str]:
    """All namespaces of its own, and of the files the interpreter with its library, to read."""
    needed = {JAIL, Path(sys.executable).parent, Path(sys.executable).resolve().parent, Path(sys.base_prefix)}
    needed |= {Path(sysconfig.get_paths()["stdlib"])}
    mounts = [part for path in sorted(map(str, needed)) for part in ("--ro-bind", path, path)]
    system = [part for path in ("/usr/lib", "/usr/lib64", "/lib", "/lib64") for part in ("--ro-bind-try", path, path)]
    return [*system, *mounts, "--unshare-all", "--die-with-parent", "--cap-drop", "ALL", "--clearenv", "--chdir", "/"]
