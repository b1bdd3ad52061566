"""Titles and messages are searched by their words, each owner's apart."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

revision = "0003"
down_revision = "0002"

SCHEMA = "chat"


def searchable(table: str, words: str) -> None:
    """Keep the words of each row, and find rows by owner and words together."""
    op.add_column(table, sa.Column("words", TSVECTOR()), schema=SCHEMA)
    rows = sa.table(table, sa.column("words"), schema=SCHEMA)
    op.execute(rows.update().values(words=sa.text(words)))  # as PostgreSQL reads them, not as words.py does
    op.alter_column(table, "words", nullable=False, schema=SCHEMA)
    op.create_index(f"{table}_search", table, ["owner_id", "words"], schema=SCHEMA, postgresql_using="gin")


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS btree_gin")  # a trusted one: whoever owns the database may
    op.add_column("messages", sa.Column("owner_id", sa.Text()), schema=SCHEMA)
    op.execute(
        "UPDATE chat.messages m SET owner_id = c.owner_id FROM chat.conversations c WHERE c.id = m.conversation_id"
    )
    op.alter_column("messages", "owner_id", nullable=False, schema=SCHEMA)
    searchable("messages", "to_tsvector('simple', left(text, 100000))")
    searchable("conversations", "setweight(to_tsvector('simple', title), 'A')")
