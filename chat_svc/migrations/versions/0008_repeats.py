"""What an idempotency key stands for, and what models sign their tool calls with."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"

SCHEMA = "chat"


def upgrade() -> None:
    op.add_column("generations", sa.Column("fingerprint", sa.LargeBinary()), schema=SCHEMA)
    op.add_column("messages", sa.Column("tool_signatures", postgresql.JSONB()), schema=SCHEMA)
