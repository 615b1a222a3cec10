"""A gateway and the mock as processes, and clients who talk over sockets, well or badly: for soak.py and exact.py."""

import asyncio
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

TRIMTAB = Path(sys.executable).parent / "trimtab"
RECIPE = """
name = "traffic"
[server]
port = {port}
drain = 2.0
{more}
[discover]
environment = false
loopback = false
[[guard]]
kind = "secrets"
[[guard]]
kind = "patterns"
[[guard]]
kind = "pii"
action = "local"
[route]
kind = "rules"
[[record]]
kind = "metrics"
[[record]]
kind = "ledger"
store_text = "{text}"
"""
MODEL = """
[[model]]
kind = "openai_http"
name = "{name}"
url = "{url}"
model = "up"
price = {{ input = "2.50", output = "10.00" }}
{options}
"""


class Reply(NamedTuple):
    """What a client got: status (0: it left before there was one), headers, body, and whether all of it came."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool

    @property
    def trace(self) -> str:
        return self.headers.get("x-request-id", "")

    @property
    def clean(self) -> bool:
        """Whether an answer came to its end: a stream's last event is there."""
        stream = self.headers.get("content-type", "").startswith("text/event-stream")
        last = self.body.rstrip().rpartition(b"\n\n")[2]
        ends = (b"data: [DONE]", b"event: message_stop", b"event: response.completed")
        return self.whole and self.status == 200 and (not stream or last.startswith(ends))


class Client:
    """One connection, opened again where it was closed. `leave` seconds after the request it goes away."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, raw: bytes, leave: float | None = None, first: bool = False) -> Reply:
        """The reply to the bytes of a request; with `first` it leaves at the first byte. Raises `OSError`."""
        reader, writer = self._streams or await asyncio.open_connection("127.0.0.1", self._port)
        self._streams, reply = None, Reply(0, {}, b"", False)
        try:
            writer.write(raw)
            if first:
                await reader.read(1)
            elif leave is not None:
                async with asyncio.timeout(leave):
                    reply = await _reply(reader)
            else:
                reply = await _reply(reader)
        except (TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            if reply.whole and reply.headers.get("connection") != "close":
                self._streams = reader, writer
            else:
                writer.transport.abort()
        return reply

    def close(self) -> None:
        if self._streams:
            self._streams[1].transport.abort()


async def _reply(reader: asyncio.StreamReader) -> Reply:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    pieces = list[bytes]()
    status = int(lines[0].split()[1])
    try:
        if "content-length" in headers:
            pieces.append(await reader.readexactly(int(headers["content-length"])))
        else:
            while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
                pieces.append((await reader.readexactly(size + 2))[:-2])
            await reader.readexactly(2)
    except (asyncio.IncompleteReadError, ConnectionError):
        return Reply(status, headers, b"".join(pieces), False)
    return Reply(status, headers, b"".join(pieces), True)


def post(path: str, body: Any, **headers: str) -> bytes:
    """The bytes of a POST; `body` is made JSON unless it is bytes."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "host: localhost", f"content-length: {len(raw)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw


class House:
    """A gateway's process: it is started, killed and started again on the same folder."""

    def __init__(self, folder: Path, models: str, text: str = "none", more: str = "") -> None:
        self.folder, self.port = folder, free_port()
        self.recipe = folder / "recipe"
        self.recipe.mkdir()
        said = RECIPE.format(port=self.port, text=text, more=more) + models
        (self.recipe / "recipe.toml").write_text(said)
        self._environ = {**os.environ, "TRIMTAB_HOME": str(folder / "home")}
        self._log = (folder / "log").open("ab")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return once it listens."""
        command = [str(TRIMTAB), "serve", "--recipe", str(self.recipe)]
        self.process = subprocess.Popen(command, env=self._environ, stdout=self._log, stderr=self._log)
        listening(self.port, self.process)

    def check(self) -> None:
        """Raises `SystemExit` with its last words where the process has ended."""
        assert self.process
        if (code := self.process.poll()) is not None:
            said = (self.folder / "log").read_text()[-3000:]
            raise SystemExit(f"The gateway ended with {code}, and said: {said}")

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it as an operator does: what is queued is written."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)

    def key(self, name: str, role: str = "client", limits: tuple[str, ...] = ()) -> str:
        """A virtual key."""
        command = [str(TRIMTAB), "keys", "create", name, "--role", role, "--json", "--recipe", str(self.recipe)]
        command += [part for limit in limits for part in ("--limit", limit)]
        made = subprocess.run(command, env=self._environ, capture_output=True, check=True)
        return json.loads(made.stdout)["token"]

    def rows(self, sql: str) -> list[Any]:
        """Rows of the system's database."""
        (path,) = (self.folder / "home").rglob("trimtab.db")
        with sqlite3.connect(path) as database:
            return database.execute(sql).fetchall()


@contextmanager
def mock(folder: Path, **options: Any) -> Iterator[int]:
    """A mock in a process of its own; yields its port."""
    port = free_port()
    given = ", ".join(f"{name}={value!r}" for name, value in options.items())
    code = f"from trimtab.evaluate.mock import Options, serve; serve(Options(port={port}, {given}))"
    with (folder / "mock.log").open("ab") as log:
        started = subprocess.Popen([sys.executable, "-c", code], stdout=log, stderr=log)
    try:
        listening(port, started)
        yield port
    finally:
        started.kill()
        started.wait()


def listening(port: int, started: subprocess.Popen[bytes]) -> None:
    """Return once something listens. Raises `SystemExit` where the process ends before, or never does."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if started.poll() is not None:
            raise SystemExit(f"The process for port {port} ended with {started.returncode}: see its log.")
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.05)
    raise SystemExit(f"Nothing listens on port {port}.")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
