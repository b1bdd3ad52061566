"""Refresh tokens that were used, and what happened to accounts."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

SCHEMA = "auth"
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("refresh_tokens", sa.Column("used_at", TIME), schema=SCHEMA)
    op.add_column("refresh_tokens", sa.Column("salt", sa.LargeBinary()), schema=SCHEMA)
    op.create_table(
        "audit_events",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid()),
        sa.Column("actor_id", sa.Uuid()),
        sa.Column("session_id", sa.Uuid()),
        sa.Column("ip_address", sa.Text(), nullable=False),
        sa.Column("user_agent", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Index("audit_events_user_id", "user_id", "id"),
        schema=SCHEMA,
    )
