"""The child process that holds a llama.cpp engine: its job comes as a line on stdin, its address leaves on stdout.

Run by `_engine` as `python -m trimtab.answer._llama`. It ends when its stdin does, so it never outlives its parent;
a crash in native code takes this process down and no other.
"""

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import msgspec

ALLOWED_HOST = "127.0.0.1"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to load and how; `context` in tokens for each of `slots` calls at a time, `key` what callers must show."""

    path: str
    alias: str
    key: str
    context: int
    slots: int
    threads: int | None = None
    gpu_layers: int = 0


class Ready(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The child's one line: the address it serves at, or why there is none."""

    url: str = ""
    error: str = ""


def main() -> None:
    """Load, tell, serve until stdin ends."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    out = os.dup(1)
    os.dup2(2, 1)  # what native code prints is log, not the one line that the parent reads
    try:
        server = _load(job)
        ready = Ready(url=server.listening_address)
    except Exception as error:  # noqa: BLE001 - whatever the engine raises is the parent's to tell
        server, ready = None, Ready(error=f"{type(error).__name__}: {error}")
    os.write(out, msgspec.json.encode(ready) + b"\n")
    if server is not None:
        sys.stdin.buffer.read()
    sys.stderr.flush()
    os._exit(0 if server is not None else 3)  # the engine's own threads need not be waited for


def _load(job: Job) -> Any:
    engine: Any = importlib.import_module("xllamacpp")  # it has no types
    params = engine.CommonParams()
    params.model.path = str(Path(job.path))
    params.model_alias = {job.alias}
    params.hostnames, params.port, params.api_keys = [ALLOWED_HOST], 0, [job.key]
    params.n_ctx, params.n_parallel = job.context * job.slots, job.slots
    params.n_gpu_layers, params.ui, params.verbosity = job.gpu_layers, False, 1
    params.endpoint_slots = params.endpoint_metrics = params.warmup = False
    if job.threads:
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = job.threads
    return engine.Server(params)


if __name__ == "__main__":
    main()
