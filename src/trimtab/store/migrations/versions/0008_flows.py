"""Runs of flows, their items, and the journal of their steps."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "flow_runs",
        *(sa.Column(name, sa.String(), nullable=False) for name in ("id", "flow", "digest")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("source", "input")),
        sa.Column("input_digest", sa.String(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("ended", sa.Double()),
        sa.PrimaryKeyConstraint("id", name="pk_flow_runs"),
    )
    op.create_index("ix_flow_runs_input_digest", "flow_runs", ["input_digest"])
    op.create_table(
        "flow_items",
        sa.Column("run", sa.String(), nullable=False),
        sa.Column("item", sa.BigInteger(), nullable=False),
        sa.Column("input", sa.Text()),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("result", sa.Text()),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("step", "code")),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("run", "item", name="pk_flow_items"),
        sa.ForeignKeyConstraint(["run"], ["flow_runs.id"], name="fk_flow_items_run", ondelete="CASCADE"),
    )
    op.create_table(
        "flow_steps",
        sa.Column("run", sa.String(), nullable=False),
        sa.Column("item", sa.BigInteger(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("n", "seq")),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("step", "state", "key", "next")),
        *(sa.Column(name, sa.Text()) for name in ("output", "undo")),
        sa.Column("ticket", sa.String(), nullable=False),
        sa.Column("cost_nano", sa.BigInteger()),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("run", "item", "scope", "n", name="pk_flow_steps"),
        sa.ForeignKeyConstraint(["run"], ["flow_runs.id"], name="fk_flow_steps_run", ondelete="CASCADE"),
    )
