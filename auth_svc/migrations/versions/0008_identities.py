"""Accounts at OpenID Connect providers."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

SCHEMA = "auth"
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    owner = sa.ForeignKey(f"{SCHEMA}.users.id", ondelete="CASCADE")
    op.create_table(
        "identities",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("user_id", sa.Uuid(), owner, nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("last_used_at", TIME),
        sa.UniqueConstraint("issuer", "subject", name="identities_subject"),
        sa.UniqueConstraint("user_id", "issuer", name="identities_one_each"),
        schema=SCHEMA,
    )
