"""The tables of the schema `billing`."""

from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from billing_svc.money import Money
from svckit.outbox import outbox_table, processed_table

SCHEMA = "billing"
MIGRATIONS = Path(__file__).parent / "migrations"


class Base(DeclarativeBase):
    """Ids are UUIDv7 text in Python and `uuid` in PostgreSQL; times are aware UTC; money is minor units."""

    metadata = MetaData(schema=SCHEMA)
    type_annotation_map: ClassVar[dict[object, object]] = {
        str: Text,
        int: BigInteger,
        bytes: LargeBinary,
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
    }


outbox = outbox_table(Base.metadata)
processed = processed_table(Base.metadata)


class Customer(Base):
    """A user as Stripe knows them. Whoever changes what belongs to a customer locks this row first."""

    __tablename__ = "customers"
    __table_args__ = (
        Index(
            "customers_to_close", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL AND closed_at IS NULL")
        ),
    )

    user_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    stripe_id: Mapped[str | None] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]
    """When we heard that the account was deleted: from then on nothing is bought."""
    closed_at: Mapped[datetime | None]
    """When nothing of a deleted account was left to end at Stripe."""


class Subscription(Base):
    """A subscription. Its row is there before Stripe is asked, so that its id can make the asking repeatable."""

    __tablename__ = "subscriptions"
    # Ended ones and refused ones do not count; one that is still being made does.
    __table_args__ = (
        Index(
            "one_live_subscription",
            "user_id",
            unique=True,
            postgresql_where=text("status NOT IN ('declined', 'canceled', 'incomplete_expired')"),
        ),
        Index("subscriptions_of_a_user", "user_id", "id"),
        Index("pending_subscriptions", "created_at", postgresql_where=text("status = 'pending'")),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey(Customer.user_id))
    status: Mapped[str]
    """Stripe's word, or one of ours for what Stripe does not have: `pending` (being made), `declined` (never made)."""
    plan_id: Mapped[str]
    interval: Mapped[str]
    currency: Mapped[str]
    amount_minor: Mapped[int]
    discount_minor: Mapped[int] = mapped_column(default=0)
    """What coupons that come back, forever or for some months, take off the running period's price."""
    payment_method: Mapped[str]
    coupon: Mapped[str]
    attempt: Mapped[int] = mapped_column(default=1)
    """Part of the idempotency key at Stripe: grows when Stripe itself failed, because it would repeat its failure."""
    decline_code: Mapped[str] = mapped_column(default="")
    decline_message: Mapped[str] = mapped_column(default="")
    stripe_id: Mapped[str | None] = mapped_column(unique=True)
    current_period_start: Mapped[datetime | None]
    current_period_end: Mapped[datetime | None]
    cancel_at_period_end: Mapped[bool] = mapped_column(default=False)
    trial_end: Mapped[datetime | None]
    created_at: Mapped[datetime]
    canceled_at: Mapped[datetime | None]
    cancel_reason: Mapped[str] = mapped_column(default="")
    """Why it ended or is to end, in Stripe's word; empty: not known."""
    cancel_feedback: Mapped[str] = mapped_column(default="")
    """What the customer said to it, in Stripe's word; empty: nothing."""
    trial_days: Mapped[int] = mapped_column(default=0)
    """As they were asked for; 0: none."""
    pending_plan_id: Mapped[str] = mapped_column(default="")
    """What follows at `pending_at`, or once a payment is confirmed; empty: nothing."""
    pending_interval: Mapped[str] = mapped_column(default="")
    pending_at: Mapped[datetime | None]
    client_secret: Mapped[str] = mapped_column(default="")
    """For Stripe's form, only while a payment must be confirmed."""

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)


class PlanChange(Base):
    """A change of a subscription's plan. Its row is there before Stripe is asked to make it."""

    __tablename__ = "plan_changes"
    __table_args__ = (
        Index("one_change_at_a_time", "subscription_id", unique=True, postgresql_where=text("status = 'begun'")),
        Index("begun_plan_changes", "created_at", postgresql_where=text("status = 'begun'")),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey(Customer.user_id))
    subscription_id: Mapped[str] = mapped_column(ForeignKey(Subscription.id))
    status: Mapped[str]
    """`begun` (Stripe is being asked), `done` or `declined`."""
    plan_id: Mapped[str]
    interval: Mapped[str]
    currency: Mapped[str]
    amount_minor: Mapped[int]
    """What a period costs from then on."""
    coupon: Mapped[str]
    later: Mapped[bool]
    """Whether it waits for the end of the period."""
    proration_date: Mapped[int]
    """Unix seconds of the customer's time at Stripe; 0 for one that waits."""
    due_minor: Mapped[int]
    """What is charged for it at once."""
    attempt: Mapped[int] = mapped_column(default=1)
    """Part of the idempotency key at Stripe, as a subscription's."""
    decline_code: Mapped[str] = mapped_column(default="")
    decline_message: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime]

    @property
    def due(self) -> Money:
        return Money(self.due_minor, self.currency)


class Invoice(Base):
    """An invoice as Stripe has it."""

    __tablename__ = "invoices"
    __table_args__ = (Index("invoices_of_a_user", "user_id", "id"),)

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey(Customer.user_id))
    subscription_id: Mapped[str | None] = mapped_column(ForeignKey(Subscription.id))
    stripe_id: Mapped[str] = mapped_column(unique=True)
    number: Mapped[str]
    status: Mapped[str]
    currency: Mapped[str]
    total_minor: Mapped[int]
    tax_minor: Mapped[int]
    amount_due_minor: Mapped[int]
    hosted_url: Mapped[str]
    period_start: Mapped[datetime]
    period_end: Mapped[datetime]
    created_at: Mapped[datetime]


class Payment(Base):
    """A payment. One that a user asked for has its row before Stripe is asked, as a subscription has."""

    __tablename__ = "payments"
    __table_args__ = (
        Index("payments_of_a_user", "user_id", "id"),
        Index("begun_payments", "created_at", postgresql_where=text("status = 'begun'")),
        CheckConstraint("refunded_minor BETWEEN 0 AND amount_minor", name="payments_refunded"),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey(Customer.user_id))
    invoice_id: Mapped[str | None] = mapped_column(ForeignKey(Invoice.id))
    stripe_id: Mapped[str | None] = mapped_column(unique=True)
    """Of Stripe's PaymentIntent."""
    status: Mapped[str]
    """`begun` (Stripe is being asked), `requires_action`, `processing`, `succeeded` or `failed`."""
    currency: Mapped[str]
    amount_minor: Mapped[int]
    refunded_minor: Mapped[int] = mapped_column(default=0)
    """The sum of the refunds that have not failed, those that are being made included."""
    description: Mapped[str] = mapped_column(default="")
    payment_method: Mapped[str] = mapped_column(default="")
    attempt: Mapped[int] = mapped_column(default=1)
    """Part of the idempotency key at Stripe, as a subscription's."""
    busy_until: Mapped[datetime | None]
    """Until when a request is taken to be at work on it."""
    decline_code: Mapped[str] = mapped_column(default="")
    decline_message: Mapped[str] = mapped_column(default="")
    client_secret: Mapped[str] = mapped_column(default="")
    """For Stripe's form, only while the customer must act."""
    created_at: Mapped[datetime]

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)


class Refund(Base):
    """Money that is given back. Its row is there before Stripe is asked, and counts against the payment at once."""

    __tablename__ = "refunds"
    __table_args__ = (
        Index("refunds_of_a_payment", "payment_id", "id"),
        Index("begun_refunds", "created_at", postgresql_where=text("status = 'begun'")),
        CheckConstraint("amount_minor > 0", name="refunds_amount"),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    payment_id: Mapped[str] = mapped_column(ForeignKey(Payment.id))
    stripe_id: Mapped[str | None] = mapped_column(unique=True)
    status: Mapped[str]
    """`begun` (Stripe is being asked), `pending`, `succeeded` or `failed`."""
    currency: Mapped[str]
    amount_minor: Mapped[int]
    reason: Mapped[str]
    attempt: Mapped[int] = mapped_column(default=1)
    busy_until: Mapped[datetime | None]
    failure: Mapped[str] = mapped_column(default="")
    """Why Stripe refused it."""
    created_at: Mapped[datetime]

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)


class Answer(Base):
    """A key of a caller's for one RPC, the row that the first request with it made, and what that was answered."""

    __tablename__ = "answers"

    user_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    rpc: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request: Mapped[bytes]
    """SHA-256 of the request without the key."""
    row_id: Mapped[str] = mapped_column(Uuid(as_uuid=False))
    answer: Mapped[bytes | None]
    """The response as it was sent first; none while it is being made."""
    created_at: Mapped[datetime] = mapped_column(index=True)


class Entitlement(Base):
    """What a user may use: the newest snapshot, as it was published."""

    __tablename__ = "entitlements"

    user_id: Mapped[str] = mapped_column(ForeignKey(Customer.user_id), primary_key=True)
    version: Mapped[int]
    plan_id: Mapped[str]
    status: Mapped[str]
    """The subscription's; empty when there is none."""
    limits: Mapped[dict[str, Any]]
    tokens_per_period: Mapped[int]
    currency: Mapped[str]
    period_start: Mapped[datetime | None]
    period_end: Mapped[datetime | None]


class IdempotencyKey(Base):
    """A key of the caller's, and the row that the first request with it made; kept a day."""

    __tablename__ = "idempotency_keys"

    user_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request: Mapped[bytes]
    """SHA-256 of the request without the key."""
    subscription_id: Mapped[str] = mapped_column(ForeignKey(Subscription.id, ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(index=True)


class StripeEvent(Base):
    """A webhook as it came, and what became of it."""

    __tablename__ = "stripe_events"
    __table_args__ = (
        Index("waiting_stripe_events", "due_at", postgresql_where=text("status IN ('received', 'failed')")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    customer: Mapped[str]
    """Stripe's id of the customer it is about; empty when it is about none."""
    payload: Mapped[bytes]
    created_at: Mapped[datetime]
    received_at: Mapped[datetime]
    status: Mapped[str]
    """`received`, `applied`, `ignored`, `failed` (will be tried again) or `dead` (will not)."""
    attempts: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str] = mapped_column(default="")
    due_at: Mapped[datetime]


class Reconciliation(Base):
    """When our rows were last compared with Stripe's."""

    __tablename__ = "reconciliations"

    kind: Mapped[str] = mapped_column(primary_key=True)
    """`recent` or `all`."""
    begun_at: Mapped[datetime]
    """Of the last run that came to its end."""


class UsagePeriod(Base):
    """What a subscription's period includes and what was used in it; and the invoice item for what went beyond."""

    __tablename__ = "usage_periods"
    __table_args__ = (
        UniqueConstraint("subscription_id", "starts_at", name="usage_periods_once"),
        Index("usage_periods_of_a_user", "user_id", "starts_at"),
        Index("usage_periods_to_bill", "ends_at", postgresql_where=text("status IN ('open', 'begun')")),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey(Customer.user_id))
    subscription_id: Mapped[str] = mapped_column(ForeignKey(Subscription.id))
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    included: Mapped[int]
    """Tokens."""
    per_1000_minor: Mapped[int]
    """What 1,000 tokens beyond cost; 0: nothing beyond is sold."""
    currency: Mapped[str]
    used: Mapped[int] = mapped_column(default=0)
    status: Mapped[str] = mapped_column(default="open")
    """`open` (usage is counted), `begun` (Stripe is being asked), `billed`, or `waived` (nothing was to be billed)."""
    overage_minor: Mapped[int] = mapped_column(default=0)
    """What was billed; fixed when the period closes."""

    @property
    def beyond(self) -> int:
        """Tokens past what is included."""
        return max(0, self.used - self.included)

    @property
    def overage(self) -> Money:
        """What they cost: each thousand that was begun counts whole."""
        return Money(-(-self.beyond // 1000) * self.per_1000_minor, self.currency).chargeable()


class UsageRecord(Base):
    """One piece of work that used tokens, once."""

    __tablename__ = "usage_records"
    __table_args__ = (Index("unassigned_usage", "user_id", "occurred_at", postgresql_where=text("period_id IS NULL")),)

    work_id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(Uuid(as_uuid=False))
    quantity: Mapped[int]
    occurred_at: Mapped[datetime]
    period_id: Mapped[str | None] = mapped_column(ForeignKey(UsagePeriod.id))
    """Of the period that it counts in; none: used without a subscription, or before we heard of it."""
