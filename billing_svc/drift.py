"""How a customer's rows look at one moment, and what differs between two."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing_svc.models import Invoice, Payment, Refund, Subscription
from billing_svc.money import Money

# What each row says, by its kind and id. Amounts are with their currency: this is for logs and people.
Picture: TypeAlias = Mapping[tuple[str, str], Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Repair:
    """One row that was not as Stripe's."""

    kind: str
    id: str
    user_id: str
    difference: str


async def picture(session: AsyncSession, user_id: str) -> Picture:
    """The rows as they are in the session's transaction."""
    found: dict[tuple[str, str], dict[str, object]] = {}
    for kind, query in _queries(user_id).items():
        for row in (await session.execute(query)).mappings():
            said = dict(row)
            id_, currency = str(said.pop("id")), str(said.pop("currency"))
            amounts = {name: str(Money(value, currency)) for name, value in said.items() if isinstance(value, int)}
            found[kind, id_] = said | amounts
    return found


def repairs(before: Picture, after: Picture, *, user_id: str) -> list[Repair]:
    """What is in `after` and was not so before; rows are never deleted."""
    return [
        Repair(kind, id_, user_id, _difference(before[kind, id_], said) if (kind, id_) in before else "missing")
        for (kind, id_), said in after.items()
        if before.get((kind, id_)) != said
    ]


def _difference(before: Mapping[str, object], after: Mapping[str, object]) -> str:
    return ", ".join(f"{name}: {before[name]} → {after[name]}" for name in after if before[name] != after[name])


def _queries(user_id: str) -> Mapping[str, Select[*tuple[Any, ...]]]:
    return {
        "subscription": select(
            Subscription.id,
            Subscription.currency,
            Subscription.status,
            Subscription.plan_id,
            Subscription.interval,
            Subscription.amount_minor,
            Subscription.current_period_end,
            Subscription.cancel_at_period_end.label("ends"),
        ).where(Subscription.user_id == user_id),
        "invoice": select(
            Invoice.id, Invoice.currency, Invoice.status, Invoice.total_minor, Invoice.amount_due_minor
        ).where(Invoice.user_id == user_id),
        "payment": select(
            Payment.id, Payment.currency, Payment.status, Payment.amount_minor, Payment.refunded_minor
        ).where(Payment.user_id == user_id),
        "refund": select(Refund.id, Refund.currency, Refund.status, Refund.amount_minor)
        .join(Payment, Payment.id == Refund.payment_id)
        .where(Payment.user_id == user_id),
    }
