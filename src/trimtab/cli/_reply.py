"""What came of one request, the same whether a gateway answered over HTTP or the path ran in this process."""

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from trimtab import errors
from trimtab.errors import TrimtabError

EXITS = {"answer": 0, "refused": 3, "pending": 4}


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """`outcome`: answer, refused or pending; costs are decimal strings of USD, None where unknown; `ms` as seen."""

    outcome: str
    trace: str
    ms: float
    text: str | None = None
    answered_by: str = ""
    label: str | None = None
    confidence: float | None = None
    cost_usd: str | None = None
    baseline_usd: str | None = None
    reasons: tuple[str, ...] = ()
    citations: tuple[dict[str, Any], ...] = ()
    tool_calls: tuple[dict[str, Any], ...] = ()
    recorded: bool = False
    ticket: str = ""
    code: str = ""
    why: str = ""

    @property
    def exit(self) -> int:
        return EXITS[self.outcome]

    @property
    def decider(self) -> str:
        """Who decided: a model's name, `refused` or `person`."""
        return {"refused": "refused", "pending": "person"}.get(self.outcome, self.answered_by)


def of_response(status: int, body: dict[str, Any], ms: float) -> Reply:
    """From a gateway's response. Raises the `TrimtabError` that the gateway's error object stands for."""
    if "error" in body:
        return _of_error(status, body["error"], ms)
    message = body["choices"][0]["message"]
    return of_message(message, body.get("trimtab") or {}, ms)


def of_message(message: dict[str, Any], about: dict[str, Any], ms: float) -> Reply:
    """From an assistant's message and the `trimtab` object beside it."""
    shared = {
        "trace": about.get("trace", ""), "ms": ms, "cost_usd": about.get("cost_usd"),
        "baseline_usd": about.get("baseline_usd"), "reasons": tuple(about.get("reasons") or ()),
    }  # fmt: skip
    if refused := about.get("refused"):
        return Reply(
            outcome="refused", answered_by=refused.get("by", ""), code=refused.get("code", ""),
            why=refused.get("why", ""), **shared,
        )  # fmt: skip
    return Reply(
        outcome="answer", text=message.get("content"), answered_by=about.get("answered_by", ""),
        label=about.get("label"), confidence=about.get("confidence"), recorded=bool(about.get("recorded")),
        citations=tuple(about.get("citations") or ()), tool_calls=tuple(message.get("tool_calls") or ()), **shared,
    )  # fmt: skip


def _of_error(status: int, error: Any, ms: float) -> Reply:
    error = error if isinstance(error, dict) else {"message": str(error)}
    if error.get("code") != "approval_required":
        raise raised(status, error)
    return Reply(
        outcome="pending", trace=error.get("trace", ""), ms=ms, ticket=error.get("ticket", ""),
        code=error.get("reason", ""), why=error.get("why") or error["message"], cost_usd=error.get("cost_usd"),
    )  # fmt: skip


def raised(status: int, error: Mapping[str, Any]) -> TrimtabError:
    """The exception that an error object stands for: by its code, else by its type and status, else by its type."""
    code, kind = str(error.get("code") or ""), error.get("type")
    message = str(error.get("message") or f"The gateway answered {status}.")
    places = errors.TABLE.items()
    ranked = (
        *(cls for cls, place in places if place.code == code),
        *(cls for cls, place in places if (place.type, place.status) == (kind, status)),
        *(cls for cls, place in places if place.type == kind),
    )
    cls = cast("type[TrimtabError]", ranked[0] if ranked else TrimtabError)
    return cls(message, param=error.get("param"), code=code)
