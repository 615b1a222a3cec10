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


class Code(NamedTuple):
    """What a code means; `of` is the class that it narrows, None for the reason of a verdict, a wait or a command.

    `status` is its HTTP status where that says more than its class's.
    """

    of: type[TrimtabError] | None
    what: str
    status: int | None = None


CODES: dict[str, Code] = {
    # The request
    "invalid_request": Code(RequestError, "a field is wrong; `param` names it"),
    "malformed_request": Code(MalformedError, "not the JSON or the shape that was promised"),
    "too_deep": Code(MalformedError, "the JSON is nested too deep"),
    "method_not_allowed": Code(MalformedError, "the path does not take that method; `Allow` names those it takes", 405),
    "body_timeout": Code(MalformedError, "a file stopped coming", 408),
    "request_timeout": Code(MalformedError, "the request took too long to arrive", 408),
    "request_too_large": Code(TooLargeError, "a text or a list is over its cap"),
    "body_too_large": Code(TooLargeError, "the body is over its cap"),
    "compressed_body": Code(MalformedError, "the body has a Content-Encoding, which is not read here", 415),
    "head_too_large": Code(TooLargeError, "the request's head is over its cap", 431),
    "bad_schema": Code(RequestError, "a schema of the request's own is none, or cannot be checked here"),
    "unsupported_item": Code(RequestError, "an input item of the Responses format that nothing here can carry"),
    "unsupported_part": Code(RequestError, "a part of a message that nothing here can carry"),
    "unsupported_parameter": Code(RequestError, "a parameter that is not served"),
    "unsupported_tool": Code(RequestError, "a tool that is not served, or that this model's protocol has no word for"),
    "nothing_stored": Code(RequestError, "responses are not stored, so that none can be named (404 on a stored one)"),
    "model_unfit": Code(RequestError, "the pinned model may not take this request"),
    "idempotency_mismatch": Code(RequestError, "the Idempotency-Key stands for another body", 409),
    "ambiguous_id": Code(RequestError, "several things have an id that begins so"),
    "not_found": Code(NotFoundError, "no such thing or route"),
    "model_not_found": Code(NotFoundError, "no such model"),
    "unknown_question": Code(MalformedError, "a decision is asked for that no head of the encoder was taught"),
    "trace_not_found": Code(NotFoundError, "no such trace, or another key's"),
    "not_passed_on": Code(NotFoundError, "files and batches are off until the recipe names a model"),
    "no_metrics": Code(NotFoundError, "the recipe does not record metrics"),
    # Who asks, and what they may take
    "invalid_api_key": Code(AuthError, "no key, or one that is not good"),
    "key_expired": Code(AuthError, "the key's time is over"),
    "key_revoked": Code(AuthError, "the key was revoked"),
    "operator_only": Code(AuthError, "for whoever works on the gateway's machine", 403),
    "role_needed": Code(AuthError, "the key's role may not do this", 403),
    "not_in_scope": Code(AuthError, "the key's routes do not include this one", 403),
    "model_not_allowed": Code(AuthError, "the key's models do not include this one", 403),
    "wrong_origin": Code(AuthError, "a web page of another origin asks", 403),
    "wrong_host": Code(AuthError, "the Host header names another machine", 421),
    "over_budget": Code(LimitError, "the request's own cost limit"),
    "insufficient_quota": Code(LimitError, "a budget in USD of a key, a team or a model is spent"),
    "rate_limit_exceeded": Code(
        LimitError, "a limit of requests or tokens is reached; `Retry-After` says for how long"
    ),
    "price_unknown": Code(LimitError, "a budget in USD, and a model without a price"),
    # Approvals
    "approval_required": Code(None, "a person must release the answer (428); `reason` says why"),
    "already_decided": Code(RequestError, "the ticket was decided before", 409),
    "digest_mismatch": Code(RequestError, "other bytes than those that wait", 409),
    "ticket_expired": Code(RequestError, "nobody decided in time, which means no", 410),
    "answer_needed": Code(RequestError, "no model answered this one: to approve it takes an answer"),
    # Models' servers
    "upstream_error": Code(UpstreamError, "a model's server failed"),
    "upstream_auth": Code(UpstreamError, "a model's server refuses the gateway's key"),
    "upstream_rate_limited": Code(UpstreamError, "a model's server limits the gateway"),
    "upstream_invalid": Code(UpstreamError, "what a model's server said is no completion"),
    "upstream_cut": Code(UpstreamError, "a model's server cut the connection"),
    "empty_completion": Code(UpstreamError, "a model's server said nothing"),
    "upstream_down": Code(UpstreamDownError, "a model's server cannot be reached"),
    "circuit_open": Code(UpstreamDownError, "a model's server failed so often that it is left alone for a while"),
    "egress_denied": Code(UpstreamDownError, "the address of a model's server may not be dialled"),
    "upstream_timeout": Code(UpstreamTimeoutError, "a model's server did not answer in time"),
    # The gateway
    "deadline_exceeded": Code(DeadlineError, "the request's own latency limit passed"),
    "no_answer": Code(NoAnswerError, "no rung could answer; the code is the last verdict's where there is one"),
    "overloaded": Code(OverloadError, "no room for another request, here or in a model's queue"),
    "shutting_down": Code(UpstreamDownError, "the gateway ends"),
    "configuration_error": Code(ConfigError, "a setting, a recipe or a shipped file is wrong"),
    "storage_unavailable": Code(StorageError, "the database cannot be read or written"),
    "row_not_taken": Code(StorageError, "the database refuses a row"),
    "newer_database": Code(StorageError, "a newer version wrote the database"),
    "database_closed": Code(StorageError, "the database was closed meanwhile"),
    "internal_error": Code(None, "nobody foresaw this (500); the log says more, under the trace's id"),
    "rung_crashed": Code(None, "a model's code failed in a way that nobody foresaw; the next rung was asked"),
    "cancelled": Code(None, "the client went away"),
    # Commands
    "usage": Code(None, "a command's arguments are wrong (exit code 2)"),
    "audit_broken": Code(None, "`trimtab audit verify` found a row that was changed, taken out or put in"),
    # Flows: why a run does not begin
    "run_unfinished": Code(RequestError, "the last run of the flow on this input is not over", 409),
    "flow_changed": Code(RequestError, "the flow is not the one that the run began with", 409),
    "run_held": Code(RequestError, "another process is at the run", 409),
    # Flows: what hindered an item
    "bad_line": Code(None, "a line of the input is not what the flow takes"),
    "missing_field": Code(None, "a template reads a field that is not there"),
    "loop_limit": Code(None, "a step was gone through as often as it may be"),
    "too_many_steps": Code(None, "the item took as many steps as it may"),
    "led_to_fail": Code(None, "the flow says that such an item fails"),
    "not_in_text": Code(None, "`extract`: the text does not say one clear value"),
    "not_a_list": Code(None, "`each`: what it goes over is no list"),
    "too_many": Code(None, "`each`: more elements than it takes"),
    "bad_plan": Code(None, "`plan`: not steps of the flow within its limits"),
    "call_failed": Code(None, "`call`: the function raised or took too long"),
    "not_done": Code(None, "`call`: the function says that nothing happened"),
    "effect_down": Code(None, "`post`: the server cannot be reached, so nothing happened"),
    "effect_refused": Code(None, "`post`: the server refused"),
    "effect_unknown": Code(None, "nobody knows whether a side effect happened"),
    "undo_unknown": Code(None, "nobody knows whether a step was taken back"),
    "denied": Code(None, "a person said no"),
    "flow_step": Code(None, "a flow's step asks a person"),
    # Words of the Responses format: the `code` of a response that failed
    "server_error": Code(None, "a response failed"),
    "invalid_prompt": Code(None, "a response failed for a fault of its request"),
    # Why a rung passed
    "preview": Code(None, "`trimtab route` stops where a model would be asked"),
    "no_rung": Code(None, "no model may take this request"),
    "not_plain": Code(None, "`code`: more than one plain question was asked"),
    "not_parsed": Code(None, "`code`: the question has not one exact reading"),
    "not_cacheable": Code(None, "`cache`: such a request is not answered from it"),
    "not_cached": Code(None, "`cache`: not there"),
    "not_a_question": Code(None, "`skill`, `reader`: not one question that it can look up"),
    "out_of_scope": Code(None, "`skill`: none of its subjects"),
    "unsure": Code(None, "`skill`: the nearest subject is not near enough"),
    "too_long": Code(None, "`reader`: the question is too long"),
    "not_in_documents": Code(None, "`reader`: the documents do not clearly say"),
    "not_recorded": Code(None, "`recorded`: no such question was recorded"),
    "only_thought": Code(None, "the model thought for all its tokens and gave no answer"),
    "context_too_small": Code(None, "`local`: the request does not fit the model's context"),
    "engine_refused": Code(None, "`local`: the engine does not take the request"),
    "masking_failed": Code(None, "`masked`: personal data could not be replaced, so nothing was sent"),
    "one_choice_only": Code(None, "the model's protocol gives one answer to a request"),
    "no_logprobs": Code(None, "the model's protocol does not tell probabilities"),
    "no_audio": Code(None, "the model's protocol does not carry sound"),
    "untranslatable": Code(None, "the model's protocol has no word for something in the request"),
    "hedge_lost": Code(None, "another call on the same model answered first; this one is paid"),
    "asked": Code(None, "a verifier asked this model, as part of judging another one's answer"),
    "not_asked": Code(None, "a verifier may not ask this model: the request's limits, or what it can do, forbid it"),
    # What guards and verifiers found
    "injection": Code(None, "`patterns`, `injection`: an attempt to overrule the instructions"),
    "toxicity": Code(None, "`toxicity`: offensive or hateful"),
    "off_topic": Code(None, "`topic`: none of the allowed subjects"),
    "too_long_to_judge": Code(None, "a guard that reads by the encoder: the text is longer than it reads"),
    "request_over_budget": Code(None, "`budget`: more than one request may have"),
    "personal_data": Code(None, "`pii`: personal data"),
    "secret": Code(None, "`secrets`: a key or a password"),
    "judge_crashed": Code(None, "a judge failed, which is a no unless its seat says otherwise"),
    "not_judged": Code(None, "`confidence`: the model gave no score"),
    "low_confidence": Code(None, "`confidence`: the model's score is too low"),
    "bad_json": Code(None, "`schema`: the answer is not the JSON that was asked for"),
    "mended": Code(None, "`schema`: the answer was nearly JSON, and was mended without asking anybody"),
    "asked_again": Code(None, "`schema`: the answer was wrong; the same model's second one is right"),
    "schema_mismatch": Code(None, "`schema`: the answer is not what the schema says"),
    "rule_broken": Code(None, "`rules`, a flow's `check`: a rule of the recipe or of the flow does not hold"),
    "rule_crashed": Code(None, "`rules`: a function of the recipe failed on this answer"),
    "answer_too_large": Code(None, "`rules`, `execution`: the answer is longer than what is checked"),
    "no_code": Code(None, "`execution`: the answer has no code to run"),
    "tests_failed": Code(None, "`execution`: the code does not pass its tests"),
    "code_stopped": Code(None, "`execution`: the code took more time, memory or output than it may"),
    "no_agreement": Code(None, "`agreement`: too few samples of the answer say the same"),
    "outvoted": Code(None, "`agreement`: most samples say something else; it is given instead, or the answer doubted"),
    "graded_low": Code(None, "`grader`: the model that grades thinks too little of the answer"),
    "not_graded": Code(None, "`grader`: no grade was to be had"),
    "ungrounded": Code(None, "`grounding`: a sentence that the passages do not support"),
    "cut": Code(None, "`grounding`: sentences that the passages do not support were taken out of the answer"),
    "flagged": Code(None, "`grounding`: sentences that the passages do not support are marked in the answer"),
    "no_evidence": Code(None, "`grounding`: no passage to hold the answer against"),
    "unknown_tool": Code(None, "`schema`: a call of a tool that the request does not bring"),
    "bad_arguments": Code(None, "`schema`: a call's arguments are not what the tool's schema says"),
    "no_tool_call": Code(None, "`schema`: a call was asked for and none was made"),
    "ok": Code(None, "a judge has nothing against it"),
    # Why a person is asked
    "high_impact": Code(None, "a wrong answer could do harm, or a guard asks for a person"),
    "doubted_answer": Code(None, "a verifier doubts the answer"),
    "unanswered": Code(None, "no model answered"),
}
"""The catalogue: every code that a client, an operator or the ledger can see. A model's server may give one of its own
for a request that it refuses, as may kinds of other packages, and a recipe's rules."""
