"""Owners whose accounts were deleted, and which events were applied."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import MetaData

from svckit.outbox import processed_table

revision = "0002"
down_revision = "0001"

SCHEMA = "chat"


def upgrade() -> None:
    op.create_table(
        "deleted_owners",
        sa.Column("owner_id", sa.Text(), primary_key=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=False),
        schema=SCHEMA,
    )
    metadata = MetaData(schema=SCHEMA)
    processed_table(metadata)
    metadata.create_all(op.get_bind())
