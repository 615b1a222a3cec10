"""The exceptions: faults only; refusals, waits and rungs that pass are values (see `types`).

TrimtabError
├── ConfigError             a setting, recipe or shipped file is wrong
├── RequestError            the client's request is wrong
│   ├── MalformedError      not the JSON or the shape that was promised
│   ├── TooLargeError       a body, a text or a list over its cap
│   └── NotFoundError       no such model, trace, ticket or route
├── AuthError               no key, or one that may not do this
├── LimitError              a budget, a quota or a cost limit of the request
├── UpstreamError           a model's server is wrong, refused or cut the connection
│   ├── UpstreamDownError   it cannot be reached
│   └── UpstreamTimeoutError  it did not answer in time
├── DeadlineError           the request's own latency limit passed
├── NoAnswerError           no rung could answer and no person is configured
├── OverloadError           the gateway itself has no room for another request
└── StorageError            the ledger or the tickets cannot be written
"""

from typing import NamedTuple


class TrimtabError(Exception):
    """What was wrong, where (`param`) and what to do (`fix`).

    `code` narrows the class's code from the table; `retry_after` is in seconds. `said` is what a model's server said of
    it: the client sees it, traces and logs do not, since it may quote the prompt or a key.
    """

    def __init__(
        self, message: str, fix: str = "", *, param: str | None = None, code: str = "",
        retry_after: float | None = None, said: str = "",
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.message, self.fix, self.param, self.retry_after, self.said = message, fix, param, retry_after, said
        self.code = code or row(self).code

    def __str__(self) -> str:
        return f"{self.message}{': ' if self.said else ''}{self.said} {self.fix}".strip()

    @property
    def ours(self) -> str:
        """The same in our own words alone."""
        return f"{self.message} {self.fix}".strip()


class ConfigError(TrimtabError): ...


class RequestError(TrimtabError): ...


class MalformedError(RequestError): ...


class TooLargeError(RequestError): ...


class NotFoundError(RequestError): ...


class AuthError(TrimtabError): ...


class LimitError(TrimtabError): ...


class UpstreamError(TrimtabError):
    """A model's server failed; `status` is its HTTP status where there was one, `model` the rung's name."""

    status: int | None = None
    model: str = ""


class UpstreamDownError(UpstreamError): ...


class UpstreamTimeoutError(UpstreamError): ...


class DeadlineError(TrimtabError): ...


class NoAnswerError(TrimtabError): ...


class OverloadError(TrimtabError): ...


class StorageError(TrimtabError): ...


class Row(NamedTuple):
    """How an error leaves: HTTP status, OpenAI error type and code, whether a retry may help, the CLI's exit code."""

    status: int
    type: str
    code: str
    retry: bool
    exit: int


TABLE: dict[type[BaseException], Row] = {
    ConfigError: Row(500, "configuration_error", "configuration_error", False, 2),
    RequestError: Row(400, "invalid_request_error", "invalid_request", False, 2),
    MalformedError: Row(400, "invalid_request_error", "malformed_request", False, 2),
    TooLargeError: Row(413, "invalid_request_error", "request_too_large", False, 2),
    NotFoundError: Row(404, "invalid_request_error", "not_found", False, 2),
    AuthError: Row(401, "authentication_error", "invalid_api_key", False, 2),
    LimitError: Row(429, "insufficient_quota", "over_budget", False, 6),
    UpstreamError: Row(502, "upstream_error", "upstream_error", True, 5),
    UpstreamDownError: Row(503, "upstream_error", "upstream_down", True, 5),
    UpstreamTimeoutError: Row(504, "upstream_error", "upstream_timeout", True, 5),
    DeadlineError: Row(504, "timeout_error", "deadline_exceeded", True, 5),
    NoAnswerError: Row(503, "no_answer_error", "no_answer", False, 5),
    OverloadError: Row(503, "overloaded_error", "overloaded", True, 5),
    StorageError: Row(503, "storage_error", "storage_unavailable", True, 1),
}
UNKNOWN = Row(500, "internal_error", "internal_error", False, 1)


def row(error: BaseException) -> Row:
    """The table's row for the nearest class of `error`; an unforeseen error is 500 `internal_error`."""
    return next((TABLE[cls] for cls in type(error).__mro__ if cls in TABLE), UNKNOWN)
