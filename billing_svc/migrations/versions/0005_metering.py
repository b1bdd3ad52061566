"""What was used in which period, when rows were compared with Stripe's, and webhooks in the order of their coming."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

SCHEMA = "billing"
TIME = sa.DateTime(timezone=True)


def required(name: str, type_: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, type_, nullable=False)


def upgrade() -> None:
    op.create_table(
        "reconciliations",
        sa.Column("kind", sa.Text(), primary_key=True),
        required("begun_at", TIME),
        schema=SCHEMA,
    )
    op.create_table(
        "usage_periods",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("user_id", sa.Uuid(), sa.ForeignKey(f"{SCHEMA}.customers.user_id"), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), sa.ForeignKey(f"{SCHEMA}.subscriptions.id"), nullable=False),
        required("starts_at", TIME),
        required("ends_at", TIME),
        required("included", sa.BigInteger()),
        required("per_1000_minor", sa.BigInteger()),
        required("currency", sa.Text()),
        required("used", sa.BigInteger()),
        required("status", sa.Text()),
        required("overage_minor", sa.BigInteger()),
        sa.UniqueConstraint("subscription_id", "starts_at", name="usage_periods_once"),
        sa.Index("usage_periods_of_a_user", "user_id", "starts_at"),
        sa.Index("usage_periods_to_bill", "ends_at", postgresql_where=sa.text("status IN ('open', 'begun')")),
        schema=SCHEMA,
    )
    op.create_table(
        "usage_records",
        sa.Column("work_id", sa.Text(), primary_key=True),
        required("user_id", sa.Uuid()),
        required("quantity", sa.BigInteger()),
        required("occurred_at", TIME),
        sa.Column("period_id", sa.Uuid(), sa.ForeignKey(f"{SCHEMA}.usage_periods.id")),
        sa.Index("unassigned_usage", "user_id", "occurred_at", postgresql_where=sa.text("period_id IS NULL")),
        schema=SCHEMA,
    )
    op.create_index("stripe_events_by_coming", "stripe_events", ["received_at", "id"], schema=SCHEMA)
