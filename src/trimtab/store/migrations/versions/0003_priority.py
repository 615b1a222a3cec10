"""The highest priority that a key may claim."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("keys", sa.Column("priority", sa.String(), nullable=False, server_default="normal"))
