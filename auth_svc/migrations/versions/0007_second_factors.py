"""Second factors, recovery codes, and sign-ins that wait for either."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

SCHEMA = "auth"
TIME = sa.DateTime(timezone=True)


def owner(*, primary_key: bool = False) -> sa.Column[Any]:
    key = sa.ForeignKey(f"{SCHEMA}.users.id", ondelete="CASCADE")
    return sa.Column("user_id", sa.Uuid(), key, nullable=False, primary_key=primary_key, index=not primary_key)


def upgrade() -> None:
    op.create_table(
        "second_factors",
        owner(primary_key=True),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("confirmed_at", TIME),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("blocked_until", TIME),
        schema=SCHEMA,
    )
    op.create_table(
        "recovery_codes",
        sa.Column("digest", sa.LargeBinary(), primary_key=True),
        owner(),
        schema=SCHEMA,
    )
    op.create_table(
        "challenges",
        sa.Column("digest", sa.LargeBinary(), primary_key=True),
        owner(),
        sa.Column("password_mark", sa.LargeBinary(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        schema=SCHEMA,
    )
