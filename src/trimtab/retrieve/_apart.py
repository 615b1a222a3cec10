"""Reads a PDF or DOCX in a process of its own, with limits: what a hostile file makes a parser do has no end.

    python -m trimtab.retrieve._apart KIND

takes the file's bytes on its standard input, and writes what became of it. It gets no environment, and no more time,
memory and output than the limits below. What it may not do beyond that is up to the machine: it is not the sandbox that
runs programs, since parsers are well-kept libraries that were given bad input.
"""

import json
import resource
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from typing import IO, Any

from trimtab.retrieve import _office
from trimtab.retrieve._unreadable import UnreadableError

CPU = 60
"""Seconds of computing: some thousand pages."""
SECONDS = 300.0
"""Seconds by the clock, for a machine with much else to do."""
MEMORY = 2 << 30
"""Bytes of address space, the interpreter's own included."""
OUTPUT = 130 << 20
"""Bytes of text: more than `_office.MAX_TEXT` characters take in JSON, mostly."""
LONG = "it takes more than {:g} s to read: it is hostile, or very large; split it, or export it again"
LARGE = "it takes more than {} MB of memory to read: it is hostile, or very large; split it, or export it again"


def text(content: bytes, kind: str) -> tuple[str, str]:
    """The text, and the title that the file gives itself or "". Raises `UnreadableError`."""
    with tempfile.TemporaryFile() as said:
        command = [sys.executable, "-P", "-B", "-m", __name__, kind, str(CPU), str(MEMORY)]
        found = {"PYTHONPATH": ":".join(filter(None, sys.path))}  # all of its environment
        try:
            done = subprocess.run(  # noqa: S603 - this interpreter and this module
                command, input=content, stdout=said, stderr=subprocess.DEVNULL, env=found, cwd="/",
                start_new_session=True, timeout=SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise UnreadableError(LONG.format(SECONDS)) from error
        said.seek(0)
        found = _found(said, done.returncode, kind)
    if why := found.get("why"):
        raise UnreadableError(why)
    return found["text"], found["title"]


def _found(said: IO[bytes], code: int, kind: str) -> dict[str, str]:
    """What the process wrote; of one that wrote nothing, why it ended."""
    if code == 0:
        return json.load(said)
    if code == -signal.SIGXCPU:
        return {"why": LONG.format(CPU)}
    return {"why": f"it is a broken {kind} (what read it ended with {code}); export it again"}


def main(kind: str, cpu: int, memory: int) -> None:
    """The process: its limits, then the file."""
    for what, most in (
        (resource.RLIMIT_CPU, cpu), (resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, OUTPUT),
        (resource.RLIMIT_CORE, 0),
    ):  # fmt: skip
        with suppress(ValueError, OSError):  # a system that knows no such limit, or has set a lower one
            resource.setrlimit(what, (most, most + (what == resource.RLIMIT_CPU)))
    json.dump(_read(kind, memory), sys.stdout)


def _read(kind: str, memory: int) -> dict[str, Any]:
    try:
        found, title = _office.text(sys.stdin.buffer.read(), kind)
    except UnreadableError as error:
        return {"why": str(error)}
    except MemoryError:
        return {"why": LARGE.format(memory >> 20)}
    return {"text": found, "title": title}


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
