"""The tables, in types that SQLite and PostgreSQL both have; `HEAD` is the migration that makes them.

Money is nanodollars in 64 bits (NULL is unknown), times are epoch seconds, JSON is text that was encoded once.
"""

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    event,
)

HEAD = "0010"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

SEQUENCE = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only in a column that is called INTEGER."""

traces = Table(
    "traces",
    metadata,
    Column("seq", SEQUENCE, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("at", Double, nullable=False, index=True),
    Column("principal", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("answered_by", String, nullable=False),
    Column("model", String, nullable=False),
    Column("stream", Boolean, nullable=False),
    Column("code", String, nullable=False),
    Column("why", Text, nullable=False),
    Column("confidence", Double),
    Column("cost_nano", BigInteger),
    Column("baseline_nano", BigInteger),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("estimated", Boolean, nullable=False),
    Column("ms", Double, nullable=False),
    Column("decision", Text),
    Column("steps", Text, nullable=False),
    Column("question", Text),
    Column("answer", Text),
    Column("reasoning_tokens", BigInteger, nullable=False, server_default="0"),
    Column("cache_write_tokens", BigInteger, nullable=False, server_default="0"),
    Column("cache_write_long_tokens", BigInteger, nullable=False, server_default="0"),
)
"""One row a request; what is only shown (`steps`, `decision`) is JSON, so that a trace is one insert."""

feedback = Table(
    "feedback",
    metadata,
    Column("seq", SEQUENCE, primary_key=True),
    Column("trace_id", String, ForeignKey("traces.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("at", Double, nullable=False),
    Column("principal", String, nullable=False),
    Column("score", Double),
    Column("label", String),
    Column("comment", Text, nullable=False),
)
"""What people said of an answer; it goes when its trace goes."""

tickets = Table(
    "tickets",
    metadata,
    Column("id", String, primary_key=True),
    Column("created", Double, nullable=False),
    Column("expires", Double, nullable=False),
    Column("trace_id", String, nullable=False, index=True),
    Column("principal", String, nullable=False),
    Column("code", String, nullable=False),
    Column("why", Text, nullable=False),
    Column("messages", Text, nullable=False),
    Column("answer", LargeBinary),
    Column("digest", String, nullable=False),
    Column("state", String, nullable=False, index=True),
    Column("decided_by", String),
    Column("decided_at", Double),
    Column("note", Text),
    Column("final", LargeBinary),
    Column("final_digest", String),
)
"""What waits for a person. No foreign key to the trace: a ticket is stored before its request's trace is."""

cached = Table(
    "cached",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("at", Double, nullable=False),
    Column("expires", Double, nullable=False, index=True),
    Column("principal", String, nullable=False, index=True),
    Column("rung", String, nullable=False),
    Column("body", Text, nullable=False),
)
"""Answers that may be given again; `key` is the SHA-256 of what they answer."""

keys = Table(
    "keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("team", String, nullable=False),
    Column("role", String, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("old_digest", LargeBinary),
    Column("old_until", Double),
    Column("models", Text, nullable=False),
    Column("routes", Text, nullable=False),
    Column("limits", Text, nullable=False),
    Column("priority", String, nullable=False, server_default="normal"),
    Column("created", Double, nullable=False),
    Column("expires", Double),
    Column("revoked", Double),
    Column("changed", BigInteger, nullable=False, index=True),
)
"""Virtual keys. `digest` is the HMAC of the secret, which is kept nowhere; `changed` counts the changes of all keys.
A row is never deleted: a gateway that once asked for keys must not stop asking because the last one was revoked."""

windows = Table(
    "windows",
    metadata,
    Column("subject", String, primary_key=True),
    Column("what", String, primary_key=True),
    Column("per", String, primary_key=True),
    Column("start", BigInteger, primary_key=True),
    Column("taken", BigInteger, nullable=False),
)
"""What gateways have taken of a limit in a window, what they have leased and not yet spent included."""

idempotency = Table(
    "idempotency",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("expires", Double, nullable=False, index=True),
    Column("principal", String, nullable=False),
    Column("status", Integer, nullable=False),
    Column("headers", Text, nullable=False),
    Column("response", LargeBinary, nullable=False),
)
"""Responses to requests with an Idempotency-Key; `key` and `body` are SHA-256 of what was asked, by whom."""

claims = Table(
    "claims",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("owner", String, nullable=False),
    Column("until", Double, nullable=False),
)
"""Requests with an Idempotency-Key that are being answered: `key` as above, by whom, and until when that holds."""

owned = Table(
    "owned",
    metadata,
    Column("model", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("principal", String, nullable=False, index=True),
)
"""Whose a file or a batch on a model's server is; `id` is the one that the server gave."""

shadows = Table(
    "shadows",
    metadata,
    Column("seq", SEQUENCE, primary_key=True),
    Column("trace_id", String, nullable=False, unique=True),
    Column("at", Double, nullable=False),
    Column("contract", String, nullable=False, index=True),
    Column("policy", String, nullable=False),
    Column("answered", String, nullable=False),
    Column("how", String, nullable=False),
    Column("share", Double, nullable=False),
    Column("score", Double),
    Column("small", Double),
    Column("large", Double),
    Column("tokens", Text, nullable=False),
    Column("small_nano", BigInteger),
    Column("large_nano", BigInteger),
    Column("cost_nano", BigInteger),
)
"""Shadow audits: what the small and the large model made of one request, from 0 to 1, NULL where that cannot be told.
`answered` is whose answer the client got, `share` the chance of being audited, `tokens` JSON by model, `cost_nano` what
the audit itself cost. No text is kept, and no foreign key: an audit outlives its trace."""

monitors = Table(
    "monitors",
    metadata,
    Column("contract", String, primary_key=True),
    Column("policy", String, primary_key=True),
    Column("state", Text, nullable=False),
    Column("changed", Double, nullable=False),
    Column("alarm", Double),
)
"""What the monitor of a contract holds, under the policy that it watches; `alarm`: since when the promise is broken."""

thresholds = Table(
    "thresholds",
    metadata,
    Column("contract", String, primary_key=True),
    Column("policy", String, primary_key=True),
    Column("look", Integer, primary_key=True),
    Column("at", Double, nullable=False),
    Column("since", Double, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("p_value", Double, nullable=False),
    Column("threshold", Double),
    Column("allowed", Double),
)
"""Looks at the audits that a contract has had `since` then, one after the other; `threshold` is NULL where none could
be shown, else the one that holds from then on, with what it allows the monitor."""

audit = Table(
    "audit",
    metadata,
    Column("seq", SEQUENCE, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", String, nullable=False),
    Column("action", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("payload", String, nullable=False),
    Column("hash", String, nullable=False),
)
"""The audit chain: see `audit`. `at` is in microseconds; `payload` and `hash` are SHA-256 in hexadecimal."""

flow_runs = Table(
    "flow_runs",
    metadata,
    Column("id", String, primary_key=True),
    Column("flow", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("source", Text, nullable=False),
    Column("input", Text, nullable=False),
    Column("input_digest", String, nullable=False, index=True),
    Column("total", BigInteger, nullable=False),
    Column("created", Double, nullable=False),
    Column("ended", Double),
)
"""Runs of flows: `digest` is of the flow's definition, `input_digest` of the bytes that were read; `ended` where no
item is left that can go on."""

flow_items = Table(
    "flow_items",
    metadata,
    Column("run", String, ForeignKey("flow_runs.id", ondelete="CASCADE"), primary_key=True),
    Column("item", BigInteger, primary_key=True),
    Column("input", Text),
    Column("state", String, nullable=False),
    Column("result", Text),
    Column("step", String, nullable=False),
    Column("code", String, nullable=False),
    Column("why", Text, nullable=False),
    Column("at", Double, nullable=False),
)
"""One row a line of the input, `item` its number: todo, waiting, undoing, done or failed; the texts in the clear."""

flow_steps = Table(
    "flow_steps",
    metadata,
    Column("run", String, ForeignKey("flow_runs.id", ondelete="CASCADE"), primary_key=True),
    Column("item", BigInteger, primary_key=True),
    Column("scope", String, primary_key=True),
    Column("n", BigInteger, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("step", String, nullable=False),
    Column("state", String, nullable=False),
    Column("key", String, nullable=False),
    Column("next", String, nullable=False),
    Column("output", Text),
    Column("undo", Text),
    Column("ticket", String, nullable=False),
    Column("cost_nano", BigInteger),
    Column("at", Double, nullable=False),
)
"""The journal of an item: its `n`-th step in a scope (the item itself, or one element of a fan-out): begun (the intent,
on disk before a side effect), waiting, done or failed."""

APPEND_ONLY = (
    ("audit_update", "UPDATE ON audit"),
    ("audit_delete", "DELETE ON audit"),
    ("audit_insert", "INSERT ON audit WHEN NEW.seq != (SELECT coalesce(max(seq), 0) + 1 FROM audit)"),
)
"""Triggers that refuse: a net against accidents. Who may write the file may drop them, and the chain tells."""
for _name, _on in APPEND_ONLY:
    _refused = f"CREATE TRIGGER {_name} BEFORE {_on} BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END"
    event.listen(audit, "after_create", DDL(_refused).execute_if(dialect="sqlite"))
