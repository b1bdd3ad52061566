"""Generations without a conversation: chat completions for OpenAI's clients, of which nothing is kept."""

from alembic import op

revision = "0005"
down_revision = "0004"

SCHEMA = "chat"


def upgrade() -> None:
    for column in ("conversation_id", "user_message_id", "message_id"):
        op.alter_column("generations", column, nullable=True, schema=SCHEMA)
