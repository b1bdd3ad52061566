"""API keys, what ended that is no session, letters to accounts that are gone, and accounts without a password."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

SCHEMA = "auth"
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column(
            "user_id",
            sa.Uuid(),
            sa.ForeignKey(f"{SCHEMA}.users.id", ondelete="CASCADE"),
            nullable=False,
            index=True,
        ),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("last_used_at", TIME),
        sa.Column("expires_at", TIME),
        schema=SCHEMA,
    )
    op.create_table(
        "endings",
        sa.Column("session_id", sa.Uuid(), primary_key=True),
        sa.Column("ended_at", TIME, nullable=False, index=True),
        schema=SCHEMA,
    )
    op.add_column("letters", sa.Column("recipient", sa.Text()), schema=SCHEMA)
    op.alter_column("users", "password_hash", nullable=True, schema=SCHEMA)
