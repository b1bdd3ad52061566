"""Payments that users ask for, refunds, and the first answers to requests with a key."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

SCHEMA = "billing"
TIME = sa.DateTime(timezone=True)


def required(name: str, type_: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, type_, nullable=False)


def text_with_default(name: str, default: str = "") -> sa.Column[Any]:
    """Replicas of the old code go on inserting rows without it."""
    return sa.Column(name, sa.Text(), nullable=False, server_default=default)


def number_with_default(name: str, default: int) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default=str(default))


def upgrade() -> None:
    op.alter_column("payments", "stripe_id", nullable=True, schema=SCHEMA)
    for column in (
        number_with_default("refunded_minor", 0),
        text_with_default("description"),
        text_with_default("payment_method"),
        number_with_default("attempt", 1),
        sa.Column("busy_until", TIME),
        text_with_default("decline_code"),
        text_with_default("decline_message"),
        text_with_default("client_secret"),
    ):
        op.add_column("payments", column, schema=SCHEMA)
    op.create_check_constraint(
        "payments_refunded", "payments", "refunded_minor BETWEEN 0 AND amount_minor", schema=SCHEMA
    )
    begun = sa.text("status = 'begun'")
    op.create_index("begun_payments", "payments", ["created_at"], schema=SCHEMA, postgresql_where=begun)
    op.create_table(
        "refunds",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("payment_id", sa.Uuid(), sa.ForeignKey(f"{SCHEMA}.payments.id"), nullable=False),
        sa.Column("stripe_id", sa.Text(), unique=True),
        required("status", sa.Text()),
        required("currency", sa.Text()),
        required("amount_minor", sa.BigInteger()),
        required("reason", sa.Text()),
        required("attempt", sa.BigInteger()),
        sa.Column("busy_until", TIME),
        required("failure", sa.Text()),
        required("created_at", TIME),
        sa.CheckConstraint("amount_minor > 0", name="refunds_amount"),
        sa.Index("refunds_of_a_payment", "payment_id", "id"),
        sa.Index("begun_refunds", "created_at", postgresql_where=begun),
        schema=SCHEMA,
    )
    op.create_table(
        "answers",
        sa.Column("user_id", sa.Uuid(), primary_key=True),
        sa.Column("rpc", sa.Text(), primary_key=True),
        sa.Column("key", sa.Text(), primary_key=True),
        required("request", sa.LargeBinary()),
        required("row_id", sa.Uuid()),
        sa.Column("answer", sa.LargeBinary()),
        sa.Column("created_at", TIME, nullable=False, index=True),
        schema=SCHEMA,
    )
