"""What happened between one customer and us, from all tables, in the order of time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Select, Text, cast, func, literal, null, select, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from billing_svc.models import Customer, Invoice, Payment, Refund, StripeEvent, Subscription
from billing_svc.money import Money


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened. `type`: `<what>.<how it stands>`; `id`: of what it happened to."""

    at: datetime
    type: str
    id: str
    amount: Money | None
    summary: str


async def entries(
    session: AsyncSession, customer: Customer, *, before: tuple[datetime, str] | None, limit: int
) -> list[Entry]:
    """Newest first, past the place `before`."""
    found = union_all(*_sources(customer)).subquery()
    query = select(found).order_by(found.c.at.desc(), found.c.id.desc()).limit(limit)
    if before:
        query = query.where(tuple_(found.c.at, found.c.id) < before)
    return [
        Entry(row.at, row.type, row.id, Money(row.minor, row.currency) if row.currency else None, row.summary)
        for row in await session.execute(query)
    ]


def _sources(customer: Customer) -> Sequence[Select[*tuple[Any, ...]]]:
    mine = customer.user_id
    return (
        _subscriptions(Subscription.created_at, "subscription.created").where(Subscription.user_id == mine),
        _subscriptions(Subscription.canceled_at, "subscription.canceled").where(
            Subscription.user_id == mine, Subscription.canceled_at.is_not(None)
        ),
        select(
            Invoice.created_at.label("at"),
            func.concat("invoice.", Invoice.status).label("type"),
            cast(Invoice.id, Text).label("id"),
            Invoice.total_minor.label("minor"),
            Invoice.currency.label("currency"),
            Invoice.number.label("summary"),
        ).where(Invoice.user_id == mine),
        select(
            Payment.created_at,
            func.concat("payment.", Payment.status),
            cast(Payment.id, Text),
            Payment.amount_minor,
            Payment.currency,
            func.concat_ws(": ", func.nullif(Payment.decline_code, ""), func.nullif(Payment.description, "")),
        ).where(Payment.user_id == mine),
        select(
            Refund.created_at,
            func.concat("refund.", Refund.status),
            cast(Refund.id, Text),
            Refund.amount_minor,
            Refund.currency,
            func.concat_ws(": ", func.nullif(Refund.reason, ""), func.nullif(Refund.failure, "")),
        )
        .join(Payment, Payment.id == Refund.payment_id)
        .where(Payment.user_id == mine),
        select(
            StripeEvent.received_at,
            func.concat("webhook.", StripeEvent.status),
            StripeEvent.id,
            cast(null(), BigInteger),
            cast(null(), Text),
            func.concat_ws(": ", StripeEvent.type, func.nullif(StripeEvent.last_error, "")),
        ).where(
            StripeEvent.customer == (customer.stripe_id or ""),
            StripeEvent.customer != "",
            StripeEvent.status != "ignored",
        ),
    )


def _subscriptions(at: InstrumentedAttribute[Any], type_: str) -> Select[*tuple[Any, ...]]:
    return select(
        at.label("at"),
        literal(type_).label("type"),
        cast(Subscription.id, Text).label("id"),
        Subscription.amount_minor.label("minor"),
        Subscription.currency.label("currency"),
        func.concat_ws(
            ": ",
            func.concat(Subscription.plan_id, " by the ", Subscription.interval),
            Subscription.status,
            func.nullif(Subscription.cancel_reason, ""),
            func.nullif(Subscription.cancel_feedback, ""),
        ).label("summary"),
    )
