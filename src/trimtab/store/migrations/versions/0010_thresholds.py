"""Looks at the audits of a contract, and the thresholds that they proved."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "thresholds",
        sa.Column("contract", sa.String(), nullable=False),
        sa.Column("policy", sa.String(), nullable=False),
        sa.Column("look", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("p_value", sa.Double(), nullable=False),
        sa.Column("threshold", sa.Double()),
        sa.Column("allowed", sa.Double()),
        sa.PrimaryKeyConstraint("contract", "policy", "look", name="pk_thresholds"),
    )
