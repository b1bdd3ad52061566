"""Images that are sent with messages, tools that answers ask for, and what those gave."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"

SCHEMA = "chat"


def upgrade() -> None:
    op.add_column("messages", sa.Column("tool_calls", postgresql.JSONB()), schema=SCHEMA)
    op.add_column("messages", sa.Column("tool_results", postgresql.JSONB()), schema=SCHEMA)
    op.add_column("generations", sa.Column("tools", postgresql.JSONB()), schema=SCHEMA)
    op.create_table(
        "attachments",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("owner_id", "sha256", name="attachments_content"),
        schema=SCHEMA,
    )
    # Images are compressed already: TOAST would try in vain.
    op.execute("ALTER TABLE chat.attachments ALTER COLUMN data SET STORAGE EXTERNAL")
    op.create_table(
        "message_attachments",
        sa.Column("message_id", sa.Uuid(), sa.ForeignKey("chat.messages.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("position", sa.Integer(), primary_key=True),
        sa.Column("attachment_id", sa.Uuid(), sa.ForeignKey("chat.attachments.id"), nullable=False),
        sa.Index("message_attachments_attachment", "attachment_id"),
        schema=SCHEMA,
    )
