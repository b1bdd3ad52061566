"""The tables of the schema `billing`."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, LargeBinary, MetaData, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from billing_svc.money import Money
from svckit.outbox import outbox_table, processed_table

SCHEMA = "billing"


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

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)


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
    """Money that came in."""

    __tablename__ = "payments"
    __table_args__ = (Index("payments_of_a_user", "user_id", "id"),)

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey(Customer.user_id))
    invoice_id: Mapped[str | None] = mapped_column(ForeignKey(Invoice.id))
    stripe_id: Mapped[str] = mapped_column(unique=True)
    """Of Stripe's PaymentIntent."""
    status: Mapped[str]
    currency: Mapped[str]
    amount_minor: Mapped[int]
    created_at: Mapped[datetime]


class Entitlement(Base):
    """What a user may use: the newest snapshot, as it was published."""

    __tablename__ = "entitlements"

    user_id: Mapped[str] = mapped_column(ForeignKey(Customer.user_id), primary_key=True)
    version: Mapped[int]
    plan_id: Mapped[str]
    status: Mapped[str]
    """The subscription's; empty when there is none."""
    limits: Mapped[dict[str, Any]]
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
