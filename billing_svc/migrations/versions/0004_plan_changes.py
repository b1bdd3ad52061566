"""Changes of plans, what is pending for a subscription, and the tokens of a period."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

SCHEMA = "billing"
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _widen_subscriptions()
    _widen_entitlements()
    op.create_table(
        "plan_changes",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("user_id", sa.Uuid(), sa.ForeignKey("billing.customers.user_id"), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), sa.ForeignKey("billing.subscriptions.id"), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("status", "plan_id", "interval", "currency")),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("coupon", sa.Text(), nullable=False),
        sa.Column("later", sa.Boolean(), nullable=False),
        sa.Column("proration_date", sa.BigInteger(), nullable=False),
        sa.Column("due_minor", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("decline_code", "decline_message")),
        sa.Column("created_at", TIME, nullable=False),
        schema=SCHEMA,
    )
    _index("one_change_at_a_time", "subscription_id", unique=True)
    _index("begun_plan_changes", "created_at")


def _index(name: str, column: str, *, unique: bool = False) -> None:
    begun = sa.text("status = 'begun'")
    op.create_index(name, "plan_changes", [column], schema=SCHEMA, unique=unique, postgresql_where=begun)


def _widen_subscriptions() -> None:
    """Replicas of the old code go on inserting rows without these."""
    op.add_column(
        "subscriptions", sa.Column("trial_days", sa.BigInteger(), nullable=False, server_default="0"), schema=SCHEMA
    )
    for name in ("pending_plan_id", "pending_interval", "client_secret"):
        op.add_column("subscriptions", sa.Column(name, sa.Text(), nullable=False, server_default=""), schema=SCHEMA)
    op.add_column("subscriptions", sa.Column("pending_at", TIME), schema=SCHEMA)


def _widen_entitlements() -> None:
    column = sa.Column("tokens_per_period", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("entitlements", column, schema=SCHEMA)
    op.execute("UPDATE billing.entitlements SET tokens_per_period = (limits->>'tokens_per_month')::bigint")
