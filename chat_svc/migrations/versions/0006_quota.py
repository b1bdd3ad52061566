"""What users may use, what is held back for them, and what they have used."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

SCHEMA = "chat"
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "entitlements",
        sa.Column("owner_id", sa.Text(), primary_key=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("tokens_per_period", sa.BigInteger()),
        sa.Column("overage", sa.Boolean(), nullable=False),
        sa.Column("concurrent_generations", sa.Integer()),
        sa.Column("models", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("period_start", TIME),
        sa.Column("period_end", TIME),
        sa.Column("valid_until", TIME),
        schema=SCHEMA,
    )
    op.create_table(
        "reservations",
        sa.Column("work_id", sa.Uuid(), primary_key=True),
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("period_start", TIME, nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("runner", sa.Text(), nullable=False),
        sa.Index("reservations_owner", "owner_id"),
        sa.Index("reservations_runner", "runner"),
        schema=SCHEMA,
    )
    op.create_table(
        "used",
        sa.Column("owner_id", sa.Text(), primary_key=True),
        sa.Column("period_start", TIME, primary_key=True),
        sa.Column("purpose", sa.Text(), primary_key=True),
        sa.Column("provider", sa.Text(), primary_key=True),
        sa.Column("model", sa.Text(), primary_key=True),
        sa.Column("works", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cached_input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cache_write_tokens", sa.BigInteger(), nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_micros", sa.BigInteger(), nullable=False),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        sa.CheckConstraint("purpose IN ('answer', 'title')", name="used_purpose"),
        schema=SCHEMA,
    )
