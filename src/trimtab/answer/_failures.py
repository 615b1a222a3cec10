"""What goes wrong with a model's server, as errors that name the rung, say what to do, and never show a key. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec

from trimtab.egress import Denied, origin
from trimtab.errors import RequestError, TrimtabError, UpstreamDownError, UpstreamError, UpstreamTimeoutError

LONGEST = 500
"""Characters of a server's own message that are shown."""


class Unbilled(Exception):  # noqa: N818 - carries the error out of the part of a call that costs nothing
    """`what` went wrong before a token was made: the call costs nothing."""

    def __init__(self, what: TrimtabError) -> None:
        super().__init__(str(what))
        self.what = what


class Wrong(Unbilled):
    """The server answered with an error where an answer should be."""


def down(name: str, url: str, error: BaseException) -> UpstreamDownError:
    """It cannot be reached, or may not be."""
    denied = next((found for found in (error, error.__cause__) if isinstance(found, Denied)), None)
    if denied:
        what = f"The model {name} was not asked: {denied}"
        return _of(UpstreamDownError(what, denied.fix, code="egress_denied"), name)
    return _of(
        UpstreamDownError(
            f"The model {name} cannot be reached at {origin(url)} ({type(error).__name__}: {error}).",
            "Start its server, or correct its url.",
        ),
        name,
    )


def timed_out(name: str, url: str) -> UpstreamTimeoutError:
    """It did not answer in time."""
    fix = "Raise its first_byte, between or total, or use a faster model."
    return _of(UpstreamTimeoutError(f"The model {name} at {origin(url)} did not answer in time.", fix), name)


def broken(name: str, why: str, code: str = "upstream_invalid") -> UpstreamError:
    """It answered, but not with a completion."""
    return _of(UpstreamError(f"The model {name} failed: {why}.", "Look at its server's log.", code=code), name)


def in_body(name: str, error: Any) -> UpstreamError:
    """It said 200, and then an error."""
    message, _, code = _said(error)
    return _of(UpstreamError(f"The model {name} failed", code="upstream_error", said=message), name, code=code)


def of_status(name: str, status: int, raw: bytes, headers: Mapping[str, str]) -> TrimtabError:
    """What a status other than 200 means: whose fault it is, and whether another rung may do better."""
    message, param, code = _said(_decoded(raw))
    if status in (401, 403):
        what = UpstreamError(
            f"The model {name} refuses the gateway's key (HTTP {status}).", "Check the variable its key_env names.",
            code="upstream_auth",
        )  # fmt: skip
    elif status in (408, 429) or status >= 500:
        limited = status == 429
        what = UpstreamError(
            f"The model {name} answered HTTP {status}", said=message, code="upstream_rate_limited" if limited else "",
            retry_after=_seconds(headers.get("Retry-After")),
        )  # fmt: skip
    elif 400 <= status < 500 and status != 404:  # 404 is the recipe's fault: no such model or path
        return RequestError(f"The model {name} refuses the request", param=param, code=code or "", said=message)
    else:
        what = UpstreamError(
            f"The model {name} answered HTTP {status}",
            "Check its url and model.",
            said=message,
            code="upstream_invalid",
        )
    return _of(what, name, status)


def _of(error: Any, name: str, status: int | None = None, code: str | None = None) -> Any:
    error.model, error.status = name, status
    if code:
        error.args = (f"{error.args[0]} ({code})",)
        error.message = error.args[0]
    return error


def _decoded(raw: bytes) -> Any:
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return raw.decode("utf-8", "replace").strip()
    return found.get("error", found) if isinstance(found, dict) else found


def _said(error: Any) -> tuple[str, str | None, str | None]:
    """Message, param and code of an error object, or of whatever was there instead."""
    if not isinstance(error, dict):
        return _short(str(error) or "no reason given"), None, None
    param, code = error.get("param"), error.get("code")
    message = error.get("message") or error.get("detail") or msgspec.json.encode(error).decode()
    return _short(str(message)), param if isinstance(param, str) else None, str(code) if code else None


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _seconds(value: str | None) -> float | None:
    """Retry-After in seconds; a date is left out, since its clock is the server's."""
    try:
        return max(0.0, float(value)) if value else None
    except ValueError:
        return None
