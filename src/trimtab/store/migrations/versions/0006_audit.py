"""The audit chain, which only grows."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

REFUSED = "BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END"


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("actor", "action", "subject", "payload", "hash")),
        sa.PrimaryKeyConstraint("seq", name="pk_audit"),
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"CREATE TRIGGER audit_update BEFORE UPDATE ON audit {REFUSED}")
        op.execute(f"CREATE TRIGGER audit_delete BEFORE DELETE ON audit {REFUSED}")
        last = "(SELECT coalesce(max(seq), 0) + 1 FROM audit)"
        op.execute(f"CREATE TRIGGER audit_insert BEFORE INSERT ON audit WHEN NEW.seq != {last} {REFUSED}")
