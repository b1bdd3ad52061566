"""Users, their sessions and tokens, letters, signing keys, and the outbox."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy import MetaData

from svckit.outbox import outbox_table

revision = "0001"
down_revision = None

SCHEMA = "auth"
TIME = sa.DateTime(timezone=True)


def part_of(table: str, column: str) -> sa.Column[Any]:
    whole = sa.ForeignKey(f"{SCHEMA}.{table}.id", ondelete="CASCADE")
    return sa.Column(column, sa.Uuid(), whole, nullable=False, index=True)


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False, unique=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("verified_at", TIME),
        sa.Column("disabled_at", TIME),
        sa.CheckConstraint("role IN ('user', 'analyst', 'admin')", name="users_role"),
        schema=SCHEMA,
    )
    op.create_table(
        "mail_tokens",
        sa.Column("digest", sa.LargeBinary(), primary_key=True),
        part_of("users", "user_id"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("letter_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        schema=SCHEMA,
    )
    op.create_table(
        "letters",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False, index=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("due_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Index("letters_due_at", "due_at"),
        schema=SCHEMA,
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), primary_key=True),
        part_of("users", "user_id"),
        sa.Column("token_digest", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("user_agent", sa.Text(), nullable=False),
        sa.Column("ip_address", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("last_seen_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("revoked_at", TIME),
        sa.Index("sessions_revoked_at", "revoked_at", postgresql_where=sa.text("revoked_at IS NOT NULL")),
        schema=SCHEMA,
    )
    op.create_table(
        "refresh_tokens",
        sa.Column("digest", sa.LargeBinary(), primary_key=True),
        part_of("sessions", "session_id"),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        schema=SCHEMA,
    )
    op.create_table(
        "signing_keys",
        sa.Column("kid", sa.Text(), primary_key=True),
        sa.Column("x", sa.Text(), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False, server_default=sa.func.now()),
        schema=SCHEMA,
    )
    metadata = MetaData(schema=SCHEMA)
    outbox_table(metadata)
    metadata.create_all(op.get_bind())
