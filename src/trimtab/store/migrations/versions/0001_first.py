"""The ledger, feedback, tickets and the cache."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "traces",
        sa.Column("seq", SEQUENCE, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("principal", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("answered_by", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("stream", sa.Boolean(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("confidence", sa.Double()),
        sa.Column("cost_nano", sa.BigInteger()),
        sa.Column("baseline_nano", sa.BigInteger()),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=False),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        sa.Column("ms", sa.Double(), nullable=False),
        sa.Column("decision", sa.Text()),
        sa.Column("steps", sa.Text(), nullable=False),
        sa.Column("question", sa.Text()),
        sa.Column("answer", sa.Text()),
        sa.PrimaryKeyConstraint("seq", name="pk_traces"),
        sa.UniqueConstraint("id", name="uq_traces_id"),
    )
    op.create_index("ix_traces_at", "traces", ["at"])
    op.create_table(
        "feedback",
        sa.Column("seq", SEQUENCE, nullable=False),
        sa.Column("trace_id", sa.String(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("principal", sa.String(), nullable=False),
        sa.Column("score", sa.Double()),
        sa.Column("label", sa.String()),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_feedback"),
        sa.ForeignKeyConstraint(["trace_id"], ["traces.id"], name="fk_feedback_trace_id", ondelete="CASCADE"),
    )
    op.create_index("ix_feedback_trace_id", "feedback", ["trace_id"])
    op.create_table(
        "tickets",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("expires", sa.Double(), nullable=False),
        sa.Column("trace_id", sa.String(), nullable=False),
        sa.Column("principal", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("messages", sa.Text(), nullable=False),
        sa.Column("answer", sa.LargeBinary()),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("decided_by", sa.String()),
        sa.Column("decided_at", sa.Double()),
        sa.Column("note", sa.Text()),
        sa.Column("final", sa.LargeBinary()),
        sa.Column("final_digest", sa.String()),
        sa.PrimaryKeyConstraint("id", name="pk_tickets"),
    )
    op.create_index("ix_tickets_trace_id", "tickets", ["trace_id"])
    op.create_index("ix_tickets_state", "tickets", ["state"])
    op.create_table(
        "cached",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("expires", sa.Double(), nullable=False),
        sa.Column("principal", sa.String(), nullable=False),
        sa.Column("rung", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_cached"),
    )
    op.create_index("ix_cached_expires", "cached", ["expires"])
    op.create_index("ix_cached_principal", "cached", ["principal"])
