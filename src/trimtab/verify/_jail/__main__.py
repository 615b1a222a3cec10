"""The warm process that runs untrusted programs: a fork for each, confined, timed, and told apart from what it prints.

    python -I -S -B verify/_jail FD MODE

It takes jobs as sockets over the socket FD. For each it forks a supervisor, which is trusted, forks the program and
writes what became of it: the program itself never writes to the caller. MODE is `landlock`, or `bwrap` where the files
were taken away by bubblewrap around this process. Knows nothing of Trimtab, and gets no environment.
"""

import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
import traceback
import types
from pathlib import Path

import confine  # pyright: ignore[reportMissingImports] - its neighbour: this folder is run, not imported

WARM = (
    "abc", "argparse", "array", "ast", "asyncio", "base64", "binascii", "bisect", "calendar", "cmath", "collections",
    "collections.abc", "contextlib", "copy", "csv", "dataclasses", "datetime", "decimal", "difflib", "enum",
    "fractions", "functools", "hashlib", "heapq", "html", "inspect", "io", "itertools", "keyword", "logging", "math",
    "numbers", "operator", "pprint", "queue", "random", "re", "secrets", "statistics", "string", "textwrap",
    "threading", "timeit", "typing", "unicodedata", "unittest", "uuid", "weakref", "zlib", "zoneinfo",
)  # fmt: skip
"""Modules that are there at once; the rest of the standard library is read when it is imported."""
WHY = 300
"""Characters of an error's message that are told."""


def main() -> None:
    control, mode = socket.socket(fileno=int(sys.argv[1])), sys.argv[2]
    del sys.path[0]  # this folder, which is no part of what a program may read
    for name in WARM:
        __import__(name)
    base = _size()
    confine.apart()
    confine.no_new_rights()
    if mode == "landlock":
        confine.only_read(sorted({os.path.realpath(path) for path in sys.path if Path(path).is_dir()}))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for supervisors
    control.send(b"r")
    while True:
        said, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not said:
            return
        for descriptor in descriptors:
            if os.fork() == 0:
                try:
                    control.close()
                    _supervised(socket.socket(fileno=descriptor), base)
                finally:
                    os._exit(1)
            os.close(descriptor)


def _size() -> int:
    """Bytes of address space of this process, which a program begins with; bubblewrap shows none."""
    try:
        with Path("/proc/self/statm").open() as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 128 << 20


def _supervised(caller: socket.socket, base: int) -> None:
    """Run one job and write its end to the caller. The program's process is begun before its tests are read."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    confine.dies_with(os.getppid())
    ours, theirs = socket.socketpair()
    printed, printing = os.pipe()
    parent, child = os.getpid(), os.fork()
    if child == 0:
        ours.close()
        caller.close()
        _confined(theirs, printing, base, parent)
    theirs.close()
    os.close(printing)
    job, began = json.loads(_whole(caller)), time.monotonic()
    ours.sendall(_framed({"code": job["code"], "memory": job["memory"], "cpu": job["cpu"]}))
    end = _Watch(job, child, caller, ours, printed).until(began + job["seconds"])
    if end is not None:
        caller.sendall(_framed({**end, "ms": (time.monotonic() - began) * 1e3}))


class _Watch:
    """The supervisor's eyes: what the program prints and reports, whether the caller is still there, and the time."""

    def __init__(self, job: dict, child: int, caller: socket.socket, report: socket.socket, printed: int) -> None:
        self._job, self._child, self._caller, self._report, self._printed = job, child, caller, report, printed
        self._token, self._text, self._said, self._state = os.urandom(16).hex(), b"", b"", ""

    def until(self, deadline: float) -> "dict | None":
        """How it ended; None where the caller has gone."""
        polled = select.poll()
        for descriptor in (self._caller.fileno(), self._report.fileno(), self._printed):
            polled.register(descriptor, select.POLLIN)
        open_ends = 2
        while open_ends:
            left = deadline - time.monotonic()
            events = polled.poll(max(0, left * 1e3)) if left > 0 else []
            if not events:
                self._state = self._state or "timeout"
                break
            for descriptor, _ in events:
                if descriptor == self._caller.fileno():
                    os.kill(self._child, signal.SIGKILL)
                    os.waitpid(self._child, 0)
                    return None
                if not self._heard(descriptor, deadline):
                    polled.unregister(descriptor)
                    open_ends -= 1
            if self._state:
                break
        os.kill(self._child, signal.SIGKILL)
        _, status, used = os.wait4(self._child, 0)
        return self._ended(status, used.ru_utime + used.ru_stime)

    def _heard(self, descriptor: int, deadline: float) -> bool:
        """Take what came; False at its end."""
        if descriptor == self._printed:
            piece = os.read(descriptor, 65536)
            self._text += piece
            if len(self._text) > self._job["output"]:
                self._text, self._state = self._text[: self._job["output"]], "output"
            return bool(piece)
        try:
            piece = self._report.recv(65536)
            if piece == b"L" and not self._said:  # loaded: now the tests are sent, and the word that they passed
                self._report.settimeout(max(0.01, deadline - time.monotonic()))
                self._report.sendall(_framed({"token": self._token, "tests": self._job["tests"]}))
                return True
        except OSError:  # it has closed its end, or does not read
            return False
        self._said += piece
        if len(self._said) > 65536:
            self._state = "output"
        return bool(piece)

    def _ended(self, status: int, computed: float) -> dict:
        state, why = self._state, ""
        if not state:
            try:
                said = json.loads(self._said)
                state, why = str(said["state"]), str(said["why"])[: 2 * WHY]
                if state == "passed" and said["token"] != self._token:
                    raise ValueError("it did not come from what ran the tests")
            except (ValueError, TypeError, KeyError):
                died = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
                spent = died == signal.SIGXCPU or computed >= self._job["cpu"]
                state, why = ("cpu", "") if spent else ("left", f"signal {died}" if died else "")
        why = why.encode("utf-8", "replace").decode()
        return {"state": state, "why": why, "output": self._text.decode("utf-8", "replace")}


def _confined(report: socket.socket, printing: int, base: int, parent: int) -> None:
    """The program's own process: it gives up everything, then runs. What ends it is bound before the program runs."""
    write, leave, dumps, flush = os.write, os._exit, json.dumps, (sys.stdout.flush, sys.stderr.flush)
    end = {"state": "refused", "why": "", "token": ""}
    try:
        confine.dies_with(parent)
        nothing, writing = os.pipe()
        os.close(writing)
        for at, descriptor in enumerate((nothing, printing, printing, report.detach())):
            os.dup2(descriptor, 100 + at)
        for at in range(4):
            os.dup2(100 + at, at)
        os.closerange(4, 256)
        channel = socket.socket(fileno=3)
        job = json.loads(_whole(channel))
        confine.powerless()
        confine.bounded(base + job["memory"], job["cpu"])
        confine.only_compute()
        end = _run(job["code"], channel)
    except BaseException as error:  # noqa: BLE001 - what could not be taken away is told, and nothing runs
        end["why"] = f"{type(error).__name__}: {error}"
    try:
        for one in flush:
            one()
    except BaseException:  # noqa: BLE001,S110 - the program may have closed them
        pass
    try:
        write(3, dumps(end).encode())
    finally:
        leave(0)


def _run(code: str, channel: socket.socket) -> dict:
    """The answer, then its tests in the same names. What is used after the answer ran is bound before."""
    whole, told, loads, failed = _whole, _told, json.loads, AssertionError
    module = types.ModuleType("answer")
    sys.modules["answer"] = module
    names, where = module.__dict__, "the answer"
    try:
        exec(compile(code, "<answer>", "exec"), names)  # noqa: S102 - what this process is there for
        channel.sendall(b"L")
        sent = loads(whole(channel))
        where = "the tests"
        exec(compile(sent["tests"], "<tests>", "exec"), names)  # noqa: S102
        for name, found in list(names.items()):
            if name.startswith("test") and type(found) is types.FunctionType:
                where = name
                found()
        where = "the tests"
        _unittests(names)
    except failed as error:
        return {"state": "failed", "why": told(error, where), "token": ""}
    except MemoryError:
        return {"state": "memory", "why": where, "token": ""}
    except BaseException as error:  # noqa: BLE001 - SystemExit too: it left before its tests had ended
        return {"state": "raised", "why": told(error, where), "token": ""}
    return {"state": "passed", "why": "", "token": sent["token"]}


def _unittests(names: dict) -> None:
    """Run the test cases among the names. Raises `AssertionError` for the first that fails."""
    import unittest

    for found in list(names.values()):
        if isinstance(found, type) and issubclass(found, unittest.TestCase) and found is not unittest.TestCase:
            result = unittest.TestResult()
            unittest.defaultTestLoader.loadTestsFromTestCase(found).run(result)
            for _, text in (*result.failures, *result.errors):
                raise AssertionError(text.strip().splitlines()[-1])


def _told(error: BaseException, where: str) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<tests>"]
    at = f", line {lines[-1]}" if lines else ""
    said = f": {str(error)[:WHY]}" if str(error) else ""
    return f"{where}{at}: {type(error).__name__}{said}"


def _framed(what: dict) -> bytes:
    said = json.dumps(what).encode()
    return struct.pack("!I", len(said)) + said


def _whole(stream: socket.socket) -> bytes:
    """One message: four bytes of length, and as many bytes."""
    said = b""
    while len(said) < 4 or len(said) < 4 + struct.unpack("!I", said[:4])[0]:
        piece = stream.recv(65536)
        if not piece:
            raise EOFError("the other end is gone")
        said += piece
    return said[4:]


if __name__ == "__main__":
    main()
