"""Customers, subscriptions, invoices, payments, entitlements, webhooks, and the outbox."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy import MetaData
from sqlalchemy.dialects.postgresql import JSONB

from svckit.outbox import outbox_table

revision = "0001"
down_revision = None

SCHEMA = "billing"
TIME = sa.DateTime(timezone=True)


def required(name: str, type_: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, type_, nullable=False)


def of_customer(*, primary_key: bool = False) -> sa.Column[Any]:
    key = sa.ForeignKey(f"{SCHEMA}.customers.user_id")
    return sa.Column("user_id", sa.Uuid(), key, nullable=False, primary_key=primary_key)


def upgrade() -> None:
    op.create_table(
        "customers",
        sa.Column("user_id", sa.Uuid(), primary_key=True),
        sa.Column("stripe_id", sa.Text(), unique=True),
        required("created_at", TIME),
        schema=SCHEMA,
    )
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Uuid(), primary_key=True),
        of_customer(),
        required("status", sa.Text()),
        required("plan_id", sa.Text()),
        required("interval", sa.Text()),
        required("currency", sa.Text()),
        required("amount_minor", sa.BigInteger()),
        required("payment_method", sa.Text()),
        required("coupon", sa.Text()),
        required("attempt", sa.BigInteger()),
        required("decline_code", sa.Text()),
        required("decline_message", sa.Text()),
        sa.Column("stripe_id", sa.Text(), unique=True),
        sa.Column("current_period_start", TIME),
        sa.Column("current_period_end", TIME),
        required("cancel_at_period_end", sa.Boolean()),
        sa.Column("trial_end", TIME),
        required("created_at", TIME),
        sa.Column("canceled_at", TIME),
        sa.CheckConstraint("interval IN ('month', 'year')", name="subscriptions_interval"),
        sa.Index("subscriptions_of_a_user", "user_id", "id"),
        sa.Index("pending_subscriptions", "created_at", postgresql_where=sa.text("status = 'pending'")),
        sa.Index(
            "one_live_subscription",
            "user_id",
            unique=True,
            postgresql_where=sa.text("status NOT IN ('declined', 'canceled', 'incomplete_expired')"),
        ),
        schema=SCHEMA,
    )
    op.create_table(
        "invoices",
        sa.Column("id", sa.Uuid(), primary_key=True),
        of_customer(),
        sa.Column("subscription_id", sa.Uuid(), sa.ForeignKey(f"{SCHEMA}.subscriptions.id")),
        sa.Column("stripe_id", sa.Text(), nullable=False, unique=True),
        required("number", sa.Text()),
        required("status", sa.Text()),
        required("currency", sa.Text()),
        required("total_minor", sa.BigInteger()),
        required("tax_minor", sa.BigInteger()),
        required("amount_due_minor", sa.BigInteger()),
        required("hosted_url", sa.Text()),
        required("period_start", TIME),
        required("period_end", TIME),
        required("created_at", TIME),
        sa.Index("invoices_of_a_user", "user_id", "id"),
        schema=SCHEMA,
    )
    op.create_table(
        "payments",
        sa.Column("id", sa.Uuid(), primary_key=True),
        of_customer(),
        sa.Column("invoice_id", sa.Uuid(), sa.ForeignKey(f"{SCHEMA}.invoices.id")),
        sa.Column("stripe_id", sa.Text(), nullable=False, unique=True),
        required("status", sa.Text()),
        required("currency", sa.Text()),
        required("amount_minor", sa.BigInteger()),
        required("created_at", TIME),
        sa.Index("payments_of_a_user", "user_id", "id"),
        schema=SCHEMA,
    )
    op.create_table(
        "entitlements",
        of_customer(primary_key=True),
        required("version", sa.BigInteger()),
        required("plan_id", sa.Text()),
        required("status", sa.Text()),
        required("limits", JSONB()),
        required("currency", sa.Text()),
        sa.Column("period_start", TIME),
        sa.Column("period_end", TIME),
        schema=SCHEMA,
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("user_id", sa.Uuid(), primary_key=True),
        sa.Column("key", sa.Text(), primary_key=True),
        required("request", sa.LargeBinary()),
        sa.Column(
            "subscription_id",
            sa.Uuid(),
            sa.ForeignKey(f"{SCHEMA}.subscriptions.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("created_at", TIME, nullable=False, index=True),
        schema=SCHEMA,
    )
    op.create_table(
        "stripe_events",
        sa.Column("id", sa.Text(), primary_key=True),
        required("type", sa.Text()),
        required("customer", sa.Text()),
        required("payload", sa.LargeBinary()),
        required("created_at", TIME),
        required("received_at", TIME),
        required("status", sa.Text()),
        required("attempts", sa.BigInteger()),
        required("last_error", sa.Text()),
        required("due_at", TIME),
        sa.Index("waiting_stripe_events", "due_at", postgresql_where=sa.text("status IN ('received', 'failed')")),
        schema=SCHEMA,
    )
    metadata = MetaData(schema=SCHEMA)
    outbox_table(metadata)
    metadata.create_all(op.get_bind())
