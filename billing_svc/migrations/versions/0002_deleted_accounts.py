"""Customers whose accounts were deleted, and which events were applied."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import MetaData

from svckit.outbox import processed_table

revision = "0002"
down_revision = "0001"

SCHEMA = "billing"


def upgrade() -> None:
    for name in ("deleted_at", "closed_at"):
        op.add_column("customers", sa.Column(name, sa.DateTime(timezone=True)), schema=SCHEMA)
    op.create_index(
        "customers_to_close",
        "customers",
        ["deleted_at"],
        schema=SCHEMA,
        postgresql_where=sa.text("deleted_at IS NOT NULL AND closed_at IS NULL"),
    )
    metadata = MetaData(schema=SCHEMA)
    processed_table(metadata)
    metadata.create_all(op.get_bind())
