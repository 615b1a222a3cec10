"""A GGUF model on this machine, through llama.cpp in a process of its own that is restarted when it dies.

The process serves loopback alone, on a port and with a key of its own; calls go the way of `openai_http`. Needs the
extra `local`.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import msgspec

from trimtab import texts
from trimtab.answer import openai_http
from trimtab.answer._engine import Engine
from trimtab.answer._llama import Job
from trimtab.egress import Egress
from trimtab.errors import ConfigError, RequestError, UpstreamDownError
from trimtab.money import estimate
from trimtab.ports import Sink, Tools
from trimtab.types import FREE, Answer, Evidence, ModelSpec, Request, Verdict

CONTEXT = 4096


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`path` of the GGUF, relative to the recipe; `slots` calls run at a time, each with the model's whole `context`.

    `max_tokens` where the client names none; `load` seconds to load the weights; `total` seconds for one answer.
    """

    path: str
    threads: int | None = None
    slots: int = 2
    gpu_layers: int = 0
    max_tokens: int = 512
    load: float = 120.0
    total: float = 300.0


def spec(_: Options) -> ModelSpec:
    """In the house and without a bill; tools only where the settings say that the model can use them."""
    return ModelSpec(where="local", price=FREE, context=CONTEXT, abilities=frozenset({"chat", "json", "stream"}))


def build(options: Options, tools: Tools) -> "Local":
    """Checks the file and the engine's package; the weights are loaded at start. Raises `ConfigError`."""
    if find_spec("xllamacpp") is None:
        raise ConfigError(
            f"[[model]] {tools.name} needs the package xllamacpp.", 'Install it: pip install "trimtab[local]".'
        )
    path = (tools.recipe / options.path).expanduser().resolve()
    _check(path, tools.name)
    job = Job(
        path=str(path), alias=tools.name, key="", context=(tools.spec and tools.spec.context) or CONTEXT,
        slots=options.slots, threads=options.threads, gpu_layers=options.gpu_layers,
    )  # fmt: skip
    model = Local(options, job, tools.name, tools.say)
    tools.starting(model.engine.start)
    tools.closing(model.close)
    return model


class Local:
    """The rung: passes what does not fit its context, and is down while its engine is."""

    def __init__(self, options: Options, job: Job, name: str, say: Callable[[str], None]) -> None:
        self.engine = Engine(job, options.load, say)
        self._options, self._job, self._name = options, job, name
        self._server: openai_http.Server | None = None
        self._starts = 0

    async def answer(self, request: Request, evidence: Evidence, sink: Sink) -> Answer | Verdict:
        prompt = sum(estimate(text.text) for text in texts.texts(request.messages))
        if prompt > self._job.context:
            why = f"About {prompt} tokens do not fit the {self._job.context} of {self._name}."
            return Verdict(ok=False, by=self._name, code="context_too_small", why=why)
        server = await self._living()
        try:
            return await server.answer(self._bounded(request), evidence, sink)
        except RequestError as error:  # what this engine cannot do, another rung may: a pass, not the client's fault
            return Verdict(ok=False, by=self._name, code="engine_refused", why=error.message)

    async def close(self) -> None:
        """Close the connections and end the engine."""
        if self._server:
            await self._server.close()
        await self.engine.stop()

    def _bounded(self, request: Request) -> Request:
        """The request with a length, so that no answer goes on for ever."""
        if request.params.keys() & {"max_tokens", "max_completion_tokens"}:
            return request
        return msgspec.structs.replace(request, params={**request.params, "max_tokens": self._options.max_tokens})

    async def _living(self) -> openai_http.Server:
        """The way to the engine that lives now. Raises `UpstreamDownError` where none does."""
        if self.engine.url is None:
            raise UpstreamDownError(
                f"The engine of {self._name} is not running.", "It starts again by itself; see the log if it does not."
            )
        if self._server is None or self._starts != self.engine.starts:
            if self._server:
                await self._server.close()
            self._starts = self.engine.starts
            total = self._options.total
            given = openai_http.Options(
                url=f"{self.engine.url}/v1", model=self._name, total=total, first_byte=total, between=total
            )
            self._server = openai_http.Server(given, self._name, self.engine.key, Egress(where="local"))
        return self._server


def _check(path: Path, name: str) -> None:
    """Whether the file may be a GGUF at all, before anything is started. Raises `ConfigError`."""
    fix = "Name a GGUF file, by its path from the recipe's folder."
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ConfigError(f"[[model]] {name}: {path} cannot be read ({error.strerror}).", fix) from error
    if magic != b"GGUF":
        raise ConfigError(f"[[model]] {name}: {path} is not a GGUF file: it begins with {magic!r}.", fix)
