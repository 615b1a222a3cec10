"""The cache: a rung that gives again what another rung answered to the very same request, and learns it as a recorder.

Nothing is kept that was doubted, is of high impact, calls a tool, holds personal data, or was drawn at a temperature.
What was kept under other models, or another state of the recipe's folder (its settings, its documents), is not found
any more; nor is what was answered after looking into documents, once any of these was added, changed or removed.
"""

import asyncio
import hashlib
import os
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from trimtab import __version__, texts
from trimtab.errors import ConfigError, StorageError
from trimtab.money import estimate
from trimtab.ports import Sink, Tools
from trimtab.types import FREE, Answer, Evidence, Impact, Json, ModelSpec, Request, Trace, Usage, Verdict

if TYPE_CHECKING:
    from trimtab.store.engine import Store

NO_MATTER = frozenset(
    {"user", "metadata", "store", "stream_options", "service_tier", "safety_identifier", "prompt_cache_key",
     "prompt_cache_retention"}
)  # fmt: skip
"""Fields of OpenAI's API that do not change what is answered: https://platform.openai.com/docs/api-reference/chat"""
NOT_KEPT = frozenset(
    {"tools", "tool_choice", "functions", "function_call", "logprobs", "top_logprobs", "audio", "modalities",
     "web_search_options", "temperature", "n"}
)  # fmt: skip
"""Fields that say more than one text is wanted, or not always the same; some have values that do no harm."""
OBJECT = 600
"""Bytes that Python needs for an answer besides its text, about."""
FILES = 5000
"""Files of the recipe's folder that are looked at for changes."""


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`seconds` an answer is good for, how many are kept, and bytes of them in memory.

    `scope`: whether principals see each other's answers. `skip` names rungs whose answers are not kept: one that is
    as quick as the cache, and whose answer may be another tomorrow.
    """

    seconds: float = 86400.0
    entries: int = 20_000
    memory: int = 32_000_000
    longest: int = 100_000
    scope: Literal["principal", "everyone"] = "principal"
    ignore_case: bool = False
    max_temperature: float = 0.0
    skip: tuple[str, ...] = ("code",)


def spec(_: Options) -> ModelSpec:
    return ModelSpec(where="local", price=FREE, abilities=frozenset({"chat", "json", "cache"}))


def build(options: Options, tools: Tools) -> "Cache":
    """Raises `ConfigError` for sizes that keep nothing; what is on disk is read before the first request."""
    if not (options.seconds > 0 and options.entries > 0 and options.longest > 0 and options.memory >= 0):
        raise ConfigError("The cache's seconds, entries and longest must be above 0.", "Take the model out instead.")
    cache = Cache(options, tools)
    tools.starting(cache.start)
    return cache


class Kept(msgspec.Struct, frozen=True):
    """An answer, and the state of the documents that were looked into for it; None where none were."""

    answer: Answer
    documents: str | None = None


class Cache:
    """A `Model` and a `Recorder`. Which keys there are is known in memory, so that a miss costs no read."""

    def __init__(self, options: Options, tools: Tools) -> None:
        self._options, self._tools, self._name = options, tools, tools.name
        self._store: Store | None = None
        self._expires: dict[bytes, float] = {}
        self._answers = Recent(options.memory)
        self._statements: Any = None
        self._stamp = b""

    async def start(self) -> None:
        """Read the keys, oldest first, and delete what is over its time. Raises `StorageError`."""
        from trimtab.answer._cached import statements

        self._stamp = await asyncio.to_thread(stamp, self._tools.recipe, self._tools.stamp)
        self._store, self._statements = self._tools.store(), statements()
        await self._store.write(self._statements.expire, {"now": time.time()}, durable=False)
        for row in await self._store.read(self._statements.keys):
            self._expires[row.key] = row.expires

    async def answer(self, request: Request, evidence: Evidence, sink: Sink) -> Answer | Verdict:
        if not (key := self.key(request)):
            return self._pass("not_cacheable", "Such a request is not answered from the cache.")
        if self._expires.get(key, 0.0) <= time.time():
            return self._pass("not_cached", "Not in the cache.")
        kept = self._answers.get(key) or await self._read(key)
        if not kept:
            return self._pass("not_cached", "Not in the cache.")
        if kept.documents is not None and kept.documents != await self._documents():
            return self._pass("not_cached", "The documents have changed since it was answered.")
        answer = kept.answer
        label = f"from: {answer.model}"
        return msgspec.structs.replace(answer, model=self._name, label=label, usage=_usage(answer, request))

    async def record(self, trace: Trace) -> None:
        """Keep the trace's answer if it may be given again; never raises."""
        if not (self._store and self._may_keep(trace) and (key := self.key(trace.request))):
            return
        answer, now = _kept(trace.result), time.time()
        kept = Kept(answer, trace.documents)
        body = msgspec.json.encode(kept).decode()
        if len(body) > self._options.longest or self._personal(trace.request, answer):
            return
        row = {"key": key, "at": now, "expires": now + self._options.seconds, "principal": trace.request.principal,
               "rung": answer.model, "body": body}  # fmt: skip
        try:
            await self._store.write(self._statements.put, row, durable=False)
            self._expires.pop(key, None)
            self._expires[key] = row["expires"]
            self._answers.put(key, kept, OBJECT + len(body))
            await self._shrink()
        except StorageError as error:
            self._tools.say(f"{self._name}: {error}")

    def key(self, request: Request) -> bytes | None:
        """What makes two requests the same; None for one that is never cached."""
        if not request.wishes.cache or not request.messages or not self._plain(request.params):
            return None
        last = request.messages[-1]
        if last.get("role") != "user" or not all(_is_text(message) for message in request.messages):
            return None
        if isinstance(said := last.get("content"), str):
            last = {**last, "content": self._normal(said)}
        principal = request.principal if self._options.scope == "principal" else None
        params = {name: value for name, value in request.params.items() if name not in NO_MATTER}
        same = (principal, request.wishes.model, request.messages[:-1], last, params)
        try:
            return hashlib.sha256(self._stamp + msgspec.json.encode(same, order="deterministic")).digest()
        except (TypeError, ValueError, RecursionError):  # no JSON: lone surrogates, too deep
            return None

    def _plain(self, params: Json) -> bool:
        """Whether one text is wanted, and the same one each time."""
        if NOT_KEPT.isdisjoint(params):
            return True
        heat = params.get("temperature")
        warm = isinstance(heat, int | float) and heat > self._options.max_temperature
        many = params.get("n") not in (None, 1)
        return not warm and not many and not any(params.get(name) for name in NOT_KEPT - {"temperature", "n"})

    def _normal(self, text: str) -> str:
        """NFC (under NFKC 2² would be 22), less the spaces around it; those inside may be what is asked about."""
        text = unicodedata.normalize("NFC", text).strip()
        return text.casefold() if self._options.ignore_case else text

    def _may_keep(self, trace: Trace) -> bool:
        answer = trace.result
        return (
            trace.outcome == "answer"
            and isinstance(answer, Answer)
            and bool(answer.text)
            and answer.model != self._name
            and answer.model not in self._options.skip
            and _whole(answer)
            and not answer.resumed
            and trace.documents != ""
            and Impact.HIGH not in (answer.impact, trace.decision.impact if trace.decision else Impact.LOW)
            and _undoubted(trace)
            and _untouched(trace)
        )

    def _personal(self, request: Request, answer: Answer) -> bool:
        """Whether personal data is in it; a finder that fails says yes."""
        try:
            found = [*texts.texts(request.messages), *texts.of_answer(answer)]
            return any(self._tools.personal(text.text) for text in found)
        except Exception:  # noqa: BLE001 - whatever it failed on, the answer is not kept
            return True

    async def _documents(self) -> str | None:
        """The documents' state now; None where it cannot be told, and then nothing that rests on them is given."""
        try:
            return await self._tools.documents() if self._tools.documents else None
        except Exception as error:  # noqa: BLE001 - whatever it is, the next rung answers
            self._tools.say(f"{self._name}: the state of the documents cannot be told ({error}).")
            return None

    async def _read(self, key: bytes) -> Kept | None:
        """The answer from disk; a row that is gone or cannot be read is forgotten: the next rung answers."""
        from trimtab.answer._cached import body

        try:
            rows = await self._store.read(body(key)) if self._store else []
            kept = msgspec.json.decode(rows[0].body, type=Kept)
        except (StorageError, msgspec.MsgspecError, IndexError):
            self._expires.pop(key, None)
            return None
        self._answers.put(key, kept, OBJECT + len(rows[0].body))
        return kept

    async def _shrink(self) -> None:
        """Forget the oldest beyond `entries`, here and on disk."""
        while len(self._expires) > self._options.entries and self._store:
            oldest = next(iter(self._expires))
            del self._expires[oldest]
            self._answers.drop(oldest)
            await self._store.write(self._statements.drop, {"old": oldest}, durable=False)

    def _pass(self, code: str, why: str) -> Verdict:
        return Verdict(ok=False, by=self._name, code=code, why=why)


class Recent:
    """Answers in memory, the least recently used given up beyond so many bytes."""

    def __init__(self, limit: int) -> None:
        self._limit, self._size = limit, 0
        self._kept: OrderedDict[bytes, tuple[Kept, int]] = OrderedDict()

    def get(self, key: bytes) -> Kept | None:
        if not (kept := self._kept.get(key)):
            return None
        self._kept.move_to_end(key)
        return kept[0]

    def put(self, key: bytes, kept: Kept, size: int) -> None:
        self.drop(key)
        self._kept[key] = (kept, size)
        self._size += size
        while self._size > self._limit:
            self.drop(next(iter(self._kept)))

    def drop(self, key: bytes) -> None:
        _, size = self._kept.pop(key, (None, 0))
        self._size -= size


def stamp(folder: Path, models: str = "") -> bytes:
    """A digest of this version, of what stands for the models, and of the names, sizes and times of the folder's first
    files, hidden ones left out.
    """
    seen = "\n".join(islice(_files(folder), FILES))
    return hashlib.sha256(f"{__version__}\n{models}\n{seen}".encode("utf-8", "surrogateescape")).digest()


def _files(folder: Path) -> Iterator[str]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        for name in sorted(names):
            if not name.startswith("."):
                path = Path(root, name)
                found = path.lstat()
                yield f"{path.relative_to(folder)} {found.st_size} {found.st_mtime_ns}"


def _kept(answer: Any) -> Answer:
    """The answer less what belongs to that one call."""
    return Answer(
        text=answer.text, model=answer.model, usage=answer.usage, finish=answer.finish, confidence=answer.confidence,
        citations=answer.citations,
    )  # fmt: skip


def _whole(answer: Answer) -> bool:
    """One text that came to its end, of a model that was really asked."""
    return (
        answer.finish == "stop"
        and not answer.tool_calls
        and not answer.choices
        and not answer.extra.get("refusal")
        and not answer.body.get("recorded")
    )


def _undoubted(trace: Trace) -> bool:
    """Whether no verifier said no of the last answer that was written."""
    for step in reversed(trace.steps):
        if step.stage == "answer" and step.ok:
            return True
        if step.stage == "verify" and not step.ok:
            return False
    return True


def _untouched(trace: Trace) -> bool:
    """Whether no guard cut anything out or asked for a person."""
    return not any(step.stage == "guard" and step.code.endswith((":redact", ":person")) for step in trace.steps)


def _usage(answer: Answer, request: Request) -> Usage:
    """What the rung that answered first was reckoned to need; no server counted anything now."""
    prompt = answer.usage.prompt or sum(estimate(text.text) for text in texts.texts(request.messages))
    completion = answer.usage.completion or estimate(answer.text or "")
    return Usage(prompt=prompt, completion=completion, estimated=True)


def _is_text(message: Json) -> bool:
    """Whether there is nothing but text in a message."""
    content = message.get("content")
    if isinstance(content, str):
        return not message.get("tool_calls")
    return isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content)
