"""Which answers a person must see first: of high impact, doubted ones, and requests that no model answered."""

from typing import TYPE_CHECKING, Literal

import msgspec

from trimtab.errors import ConfigError, NoAnswerError
from trimtab.ports import Approver, Tools
from trimtab.types import Action, Answer, Case, Impact, Pending

if TYPE_CHECKING:
    from trimtab.store.engine import Store


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What goes to a person; `expires` in seconds. Without an `inbox` whatever needs a person is an error."""

    inbox: bool = True
    doubted: Literal["person", "release"] = "person"
    unanswered: Literal["person", "error"] = "person"
    high_impact: Literal["person", "release"] = "person"
    expires: float = 86400.0


def build(options: Options, tools: Tools) -> Approver:
    """Raises `ConfigError` for a time that is none; the database is opened before the first request."""
    if not 0 < options.expires < float("inf"):
        raise ConfigError(f"expires = {options.expires} is no time.", "Set the seconds that a ticket may wait.")
    policy = Policy(options, tools)
    if options.inbox:
        tools.starting(policy.start)
    return policy


class Policy:
    """An `Approver`: the ticket is on disk before the request is told to wait."""

    def __init__(self, options: Options, tools: Tools) -> None:
        self._options, self._tools = options, tools
        self._store: Store | None = None

    async def start(self) -> None:
        """Open the database, and enter what expired while nobody looked. Raises `StorageError`."""
        from trimtab.approve import _tickets

        self._store = self._tools.store()
        await _tickets.expire(self._store)

    async def approve(self, case: Case) -> Pending | None:
        """A ticket, or None to let the case go on. Raises `NoAnswerError` without an inbox, `StorageError`."""
        if not (need := needs(self._options, case)):
            return None
        code, why = need
        if not self._options.inbox:
            raise NoAnswerError(f"A person would have to release this: {why}", "Set inbox = true.", code=code)
        from trimtab.approve import _tickets

        if self._store is None:
            self._store = self._tools.store()
        return await _tickets.create(self._store, case, code=code, why=why, expires=self._options.expires)


def needs(options: Options, case: Case) -> tuple[str, str] | None:
    """The reason code and sentence for asking a person, None where nobody need be asked. Pure.

    A request that is pinned to one model and got no answer from it gets that model's error, not a wait.
    """
    if case.answer is None:
        asks = options.inbox and options.unanswered == "person" and case.request.wishes.model == "auto"
        return ("unanswered", f"No model answered: {case.verdict.why}") if asks else None
    if Action.PERSON in case.actions:
        return "high_impact", "A guard asks for a person before this is answered."
    if options.high_impact == "person" and _high(case, case.answer):
        return "high_impact", _impact(case)
    if options.doubted == "person" and not case.verdict.ok:
        return "doubted_answer", f"{case.verdict.by or 'A verifier'} doubts the answer: {case.verdict.why}"
    return None


def _high(case: Case, answer: Answer) -> bool:
    return Impact.HIGH in (case.decision.impact, answer.impact)


def _impact(case: Case) -> str:
    """Why the impact is high, as the router gave it."""
    if case.decision.impact is Impact.HIGH:
        reasons = ", ".join(case.decision.reasons) or "the router's rules"
        return f"A wrong answer could do harm ({reasons}), so a person releases it."
    return "The model marked its answer as one that could do harm if wrong, so a person releases it."
