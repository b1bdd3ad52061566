"""Conversations, messages, generations, and the outbox."""

from uuid import UUID

import sqlalchemy as sa
from alembic import op
from sqlalchemy import MetaData

from svckit.outbox import outbox_table

revision = "0001"
down_revision = None

SCHEMA = "chat"
TIME = sa.DateTime(timezone=True)
RUNNING = sa.text("state = 'running'")


def owned_by(table: str, column: str, *, nullable: bool = False) -> sa.Column[UUID]:
    """A row that goes when the row it belongs to goes."""
    return sa.Column(column, sa.Uuid(), sa.ForeignKey(f"{SCHEMA}.{table}.id", ondelete="CASCADE"), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("system_prompt", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("archived", sa.Boolean(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("active_message_id", sa.Uuid()),
        sa.Column("idempotency_key", sa.Text()),
        sa.Index("conversations_last_used", "owner_id", sa.text("updated_at DESC"), sa.text("id DESC")),
        sa.Index("conversations_idempotency", "owner_id", "idempotency_key", unique=True),
        schema=SCHEMA,
    )
    op.create_table(
        "messages",
        sa.Column("id", sa.Uuid(), primary_key=True),
        owned_by("conversations", "conversation_id"),
        owned_by("messages", "parent_id", nullable=True),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.CheckConstraint("author IN ('user', 'assistant')", name="messages_author"),
        sa.Index("messages_conversation", "conversation_id"),
        sa.Index("messages_parent", "parent_id"),
        schema=SCHEMA,
    )
    op.create_table(
        "generations",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("owner_id", sa.Text(), nullable=False),
        owned_by("conversations", "conversation_id"),
        owned_by("messages", "user_message_id"),
        owned_by("messages", "message_id"),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("runner", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("finish_reason", sa.Text()),
        sa.Column("error_code", sa.Text()),
        sa.Column("input_tokens", sa.BigInteger()),
        sa.Column("output_tokens", sa.BigInteger()),
        sa.Column("cached_input_tokens", sa.BigInteger()),
        sa.Column("cache_write_tokens", sa.BigInteger()),
        sa.Column("reasoning_tokens", sa.BigInteger()),
        sa.Column("cost_micros", sa.BigInteger()),
        sa.Column("estimated", sa.Boolean()),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("ended_at", TIME),
        sa.Column("idempotency_key", sa.Text()),
        sa.CheckConstraint("state IN ('running', 'done', 'cancelled', 'failed')", name="generations_state"),
        sa.CheckConstraint("(state = 'running') = (ended_at IS NULL)", name="generations_end"),
        sa.Index("generations_idempotency", "owner_id", "idempotency_key", unique=True),
        sa.Index("generations_running", "owner_id", postgresql_where=RUNNING),
        sa.Index("generations_runner", "runner", postgresql_where=RUNNING),
        sa.Index("generations_message", "message_id", unique=True),
        sa.Index("generations_question", "user_message_id"),
        sa.Index("generations_conversation", "conversation_id"),
        schema=SCHEMA,
    )
    metadata = MetaData(schema=SCHEMA)
    outbox_table(metadata)
    metadata.create_all(op.get_bind())
