"""Shadow audits of small models' answers, and what the monitors of the promises hold."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "shadows",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("trace_id", sa.String(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("contract", "policy", "answered", "how")),
        sa.Column("share", sa.Double(), nullable=False),
        *(sa.Column(name, sa.Double()) for name in ("score", "small", "large")),
        sa.Column("tokens", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger()) for name in ("small_nano", "large_nano", "cost_nano")),
        sa.PrimaryKeyConstraint("seq", name="pk_shadows"),
        sa.UniqueConstraint("trace_id", name="uq_shadows_trace_id"),
    )
    op.create_index("ix_shadows_contract", "shadows", ["contract"])
    op.create_table(
        "monitors",
        sa.Column("contract", sa.String(), nullable=False),
        sa.Column("policy", sa.String(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("changed", sa.Double(), nullable=False),
        sa.Column("alarm", sa.Double()),
        sa.PrimaryKeyConstraint("contract", "policy", name="pk_monitors"),
    )
