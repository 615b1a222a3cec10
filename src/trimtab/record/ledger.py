"""The ledger: one row for each request, refusals, crashes and waits too, in the system's database.

A prompt and its answer are kept only where `store_text` says so; a reason never quotes the prompt unless it is `full`.
"""

import json
import time
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from trimtab import texts
from trimtab.errors import ConfigError
from trimtab.ports import Recorder, Tools
from trimtab.record._scrub import WINDOW, Scrub
from trimtab.types import Answer, Request, Step, Trace

if TYPE_CHECKING:
    from trimtab.store.engine import Store

SWEEP = 3600.0
"""Seconds between two looks for rows that are too old."""
NAME = 200
"""Characters kept of a name that a client chose."""
DAY = 86400.0


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`store_text`: keep no text, the text less personal data and secrets, or all; `keep_days`: None keeps for ever."""

    store_text: Literal["none", "redacted", "full"] = "none"
    keep_days: float | None = None


def build(options: Options, tools: Tools) -> Recorder:
    """Raises `ConfigError` for days that are none; the database is opened before the first request."""
    if options.keep_days is not None and not options.keep_days > 0:
        raise ConfigError(f"keep_days = {options.keep_days} keeps nothing.", "Set it above 0, or leave it out.")
    ledger = Ledger(options, tools)
    tools.starting(ledger.start)
    return ledger


class Ledger:
    """A `Recorder`; durable where the client wishes it or a person is to decide, else queued."""

    def __init__(self, options: Options, tools: Tools) -> None:
        self._options, self._tools, self._scrub = options, tools, Scrub(tools.personal)
        self._store: Store | None = None
        self._insert: Any = None
        self._delete: Any = None
        self._swept = 0.0

    async def start(self) -> None:
        """Open the database. Raises `StorageError`."""
        self._opened()

    async def record(self, trace: Trace) -> None:
        """Keep the trace. Raises `StorageError` only where it must be durable and cannot be."""
        store = self._opened()
        durable = trace.request.wishes.durable or trace.outcome == "pending"
        await store.write(self._insert, self.row(trace), durable=durable)
        if self._options.keep_days and time.monotonic() >= self._swept:
            await self._sweep(store, self._options.keep_days)

    def row(self, trace: Trace) -> dict[str, Any]:
        """The row of the table `traces`."""
        request, usage = trace.request, trace.usage
        said = self._quotable(trace)
        question, answer = self._texts(trace)
        return {
            "id": request.id, "at": trace.at, "principal": request.principal, "outcome": trace.outcome,
            "answered_by": trace.answered_by, "model": _asked(trace), "stream": request.wishes.stream,
            "code": _name(trace.code), "why": self._why(trace.why, said), "confidence": trace.confidence,
            "cost_nano": trace.cost, "baseline_nano": trace.baseline, "prompt_tokens": usage.prompt,
            "completion_tokens": usage.completion, "cached_tokens": usage.cached, "estimated": usage.estimated,
            "reasoning_tokens": usage.reasoning, "cache_write_tokens": usage.cache_write,
            "cache_write_long_tokens": usage.cache_write_long,
            "ms": trace.ms, "decision": _json(trace.decision) if trace.decision else None,
            "steps": _json([self._step(step, said) for step in trace.steps]), "question": question, "answer": answer,
        }  # fmt: skip

    def _opened(self) -> "Store":
        if self._store is None:
            from sqlalchemy import bindparam

            from trimtab.store.tables import traces

            self._insert = traces.insert()
            self._delete = traces.delete().where(traces.c.at < bindparam("before"))
            self._store = self._tools.store()
        return self._store

    def _quotable(self, trace: Trace) -> tuple[str, ...]:
        """The texts that a reason may not quote."""
        reasons = (trace.why, *[step.why for step in trace.steps])
        if self._options.store_text == "full" or all(len(why) < WINDOW for why in reasons):
            return ()
        said = [text.text for text in texts.texts(trace.request.messages)]
        if isinstance(trace.result, Answer):
            said += [text.text for text in texts.of_answer(trace.result)]
        return tuple(said)

    def _why(self, why: str, said: tuple[str, ...]) -> str:
        return _encodable(why if self._options.store_text == "full" else self._scrub.why(why, said))

    def _step(self, step: Step, said: tuple[str, ...]) -> Step:
        why = self._why(step.why, said)
        return step if why == step.why else msgspec.structs.replace(step, why=why)

    def _texts(self, trace: Trace) -> tuple[str | None, str | None]:
        if self._options.store_text == "none":
            return None, None
        question, answer = _question(trace.request), _answer(trace)
        if self._options.store_text == "redacted":
            return self._scrub.text(question), None if answer is None else self._scrub.text(answer)
        return question, answer

    async def _sweep(self, store: "Store", days: float) -> None:
        """Queue the end of what is too old; feedback goes with its trace."""
        self._swept = time.monotonic() + SWEEP
        await store.write(self._delete, {"before": time.time() - days * DAY}, durable=False)


def _question(request: Request) -> str:
    return _encodable(texts.question(request))


def _answer(trace: Trace) -> str | None:
    """What was answered, as text or as the tool calls' JSON; None where nothing was."""
    if not isinstance(trace.result, Answer):
        return None
    text = trace.result.text
    return _encodable(text) if text is not None else json.dumps(trace.result.tool_calls)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _asked(trace: Trace) -> str:
    """The model that the client asked for; a name that nobody has is the client's own words, and is not kept."""
    wish, decision = trace.request.wishes.model, trace.decision
    known = (*decision.ladder, *decision.left_out) if decision else ()
    return _name(wish) if wish in ("auto", "small", "large", *known) else "unknown"


def _name(name: str) -> str:
    return _encodable(name[:NAME])


def _encodable(text: str) -> str:
    """The text less lone surrogates, which no database takes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
