"""From when a key signs."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

SCHEMA = "auth"
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("signing_keys", sa.Column("active_at", TIME), schema=SCHEMA)
    keys = sa.table("signing_keys", sa.column("created_at"), sa.column("active_at"), schema=SCHEMA)
    op.execute(keys.update().values(active_at=keys.c.created_at))
    op.alter_column("signing_keys", "active_at", nullable=False, schema=SCHEMA)
