"""Which letters were written lately."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

SCHEMA = "auth"


def upgrade() -> None:
    op.create_table(
        "mailings",
        sa.Column("letter_id", sa.Uuid(), primary_key=True),
        sa.Column("email_key", sa.Text(), nullable=False, index=True),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        schema=SCHEMA,
    )
