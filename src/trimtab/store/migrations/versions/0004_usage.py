"""What a call's tokens were: reasoning, and input written to a provider's cache."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for name in ("reasoning_tokens", "cache_write_tokens", "cache_write_long_tokens"):
        op.add_column("traces", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
