"""All SQL of the billing service."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Select, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from billing_svc.models import Customer, Entitlement, IdempotencyKey, Invoice, Subscription

PENDING = "pending"
DECLINED = "declined"

RowT = TypeVar("RowT", Subscription, Invoice)


# --- customers


async def add_customer(session: AsyncSession, user_id: str, *, now: datetime) -> None:
    """Make the user's row if there is none."""
    row = insert(Customer).values(user_id=user_id, created_at=now)
    await session.execute(row.on_conflict_do_nothing())


async def customer(session: AsyncSession, user_id: str) -> Customer:
    return (await session.execute(select(Customer).where(Customer.user_id == user_id))).scalar_one()


async def find_customer(session: AsyncSession, user_id: str) -> Customer | None:
    return await session.get(Customer, user_id)


async def keep_stripe_id(session: AsyncSession, user_id: str, stripe_id: str) -> None:
    """Note Stripe's id of a customer."""
    await session.execute(update(Customer).where(Customer.user_id == user_id).values(stripe_id=stripe_id))


async def may_buy(session: AsyncSession, user_id: str) -> bool:
    """Whether the user's account is there, which stays so until this transaction ends."""
    # The weakest lock: following Stripe, which holds a stronger one for long, does not stand in its way.
    query = select(Customer.deleted_at).where(Customer.user_id == user_id)
    return (await session.execute(query.with_for_update(read=True, key_share=True))).scalar_one() is None


async def wait_for_begun(session: AsyncSession, user_id: str) -> None:
    """Wait for what is just being begun by the user (`may_buy`); nothing more is before this transaction ends."""
    await session.execute(select(Customer.user_id).where(Customer.user_id == user_id).with_for_update())


async def mark_deleted(session: AsyncSession, user_id: str, *, now: datetime) -> None:
    """Note that the account was deleted, after waiting for what is just being begun; again is fine."""
    await add_customer(session, user_id, now=now)
    await wait_for_begun(session, user_id)
    marked = update(Customer).where(Customer.user_id == user_id, Customer.deleted_at.is_(None))
    await session.execute(marked.values(deleted_at=now))


async def customers_to_close(session: AsyncSession) -> Sequence[tuple[str, str | None]]:
    """User ids and Stripe's ids of deleted accounts that may have something left at Stripe, longest waiting first."""
    query = select(Customer.user_id, Customer.stripe_id)
    marked = query.where(Customer.deleted_at.is_not(None), Customer.closed_at.is_(None)).order_by(Customer.deleted_at)
    return [(user_id, stripe_id) for user_id, stripe_id in await session.execute(marked)]


async def mark_closed(session: AsyncSession, user_id: str, *, now: datetime) -> None:
    await session.execute(update(Customer).where(Customer.user_id == user_id).values(closed_at=now))


async def lock_customer(session: AsyncSession, *, stripe_id: str) -> Customer | None:
    """The customer; nobody else changes what is theirs before this transaction ends."""
    query = select(Customer).where(Customer.stripe_id == stripe_id)
    # Not the strongest lock: new rows that refer to this one need not wait.
    return await session.scalar(query.with_for_update(key_share=True))


# --- subscriptions


async def subscription(session: AsyncSession, subscription_id: str) -> Subscription | None:
    return await session.get(Subscription, subscription_id)


async def find_subscription(session: AsyncSession, subscription_id: str, *, user_id: str) -> Subscription | None:
    """The user's subscription; none that Stripe never made."""
    query = _made().where(Subscription.id == subscription_id, Subscription.user_id == user_id)
    return await session.scalar(query)


async def subscriptions_page(session: AsyncSession, user_id: str, *, before: str, limit: int) -> Sequence[Subscription]:
    """The user's subscriptions, newest first, past the id `before`."""
    return await _page(session, _made().where(Subscription.user_id == user_id), Subscription, before, limit)


async def subscriptions_of(session: AsyncSession, user_id: str) -> dict[str, Subscription]:
    """Every subscription of the user's by id, those included that are being made."""
    rows = await session.scalars(select(Subscription).where(Subscription.user_id == user_id))
    return {row.id: row for row in rows}


async def pending_subscriptions(session: AsyncSession, *, created_before: datetime) -> Sequence[Subscription]:
    """Those whose making was begun before that time and has not ended."""
    query = select(Subscription).where(Subscription.status == PENDING, Subscription.created_at < created_before)
    return (await session.scalars(query.order_by(Subscription.created_at))).all()


async def has_pending(session: AsyncSession, user_id: str) -> bool:
    """Whether a subscription of the user's is being made."""
    query = select(Subscription.id).where(Subscription.user_id == user_id, Subscription.status == PENDING)
    return await session.scalar(query.limit(1)) is not None


async def had_trial(session: AsyncSession, user_id: str) -> bool:
    """Whether the user ever had a subscription that began with a trial."""
    query = _made().where(Subscription.user_id == user_id, Subscription.trial_days > 0)
    return await session.scalar(query.limit(1)) is not None


async def currency_of(session: AsyncSession, user_id: str) -> str | None:
    """What the user's subscriptions are paid in; None when there was none."""
    newest = _made().where(Subscription.user_id == user_id).order_by(Subscription.id.desc()).limit(1)
    return await session.scalar(newest.with_only_columns(Subscription.currency))


async def drop_pending(session: AsyncSession, subscription_id: str) -> None:
    """Forget a subscription that was never made, and the idempotency key that asked for it."""
    await session.execute(
        delete(Subscription).where(Subscription.id == subscription_id, Subscription.status == PENDING)
    )


async def decline(session: AsyncSession, subscription_id: str, *, code: str, message: str) -> None:
    """Note that the card was refused, so that a repeat of the request is refused alike."""
    pending = update(Subscription).where(Subscription.id == subscription_id, Subscription.status == PENDING)
    await session.execute(pending.values(status=DECLINED, decline_code=code, decline_message=message))


async def next_attempt(session: AsyncSession, subscription_id: str, *, after: int) -> None:
    """Ask Stripe with a fresh key next time; only once for each attempt that failed."""
    same = update(Subscription).where(Subscription.id == subscription_id, Subscription.attempt == after)
    await session.execute(same.values(attempt=after + 1))


def _made() -> Select[Subscription]:
    return select(Subscription).where(Subscription.status.not_in((PENDING, DECLINED)))


# --- idempotency keys


async def known_key(session: AsyncSession, user_id: str, key: str) -> IdempotencyKey | None:
    return await session.get(IdempotencyKey, (user_id, key))


async def drop_keys(session: AsyncSession, *, created_before: datetime) -> None:
    await session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at < created_before))


# --- invoices


async def invoices_page(session: AsyncSession, user_id: str, *, before: str, limit: int) -> Sequence[Invoice]:
    """The user's invoices, newest first, past the id `before`."""
    return await _page(session, select(Invoice).where(Invoice.user_id == user_id), Invoice, before, limit)


async def find_invoice(session: AsyncSession, invoice_id: str, *, user_id: str) -> Invoice | None:
    """The user's invoice."""
    return await session.scalar(select(Invoice).where(Invoice.id == invoice_id, Invoice.user_id == user_id))


async def invoices_of(session: AsyncSession, user_id: str) -> dict[str, Invoice]:
    """Every invoice of the user's by Stripe's id."""
    rows = await session.scalars(select(Invoice).where(Invoice.user_id == user_id))
    return {row.stripe_id: row for row in rows}


# --- entitlements


async def entitlement(session: AsyncSession, user_id: str) -> Entitlement | None:
    return await session.get(Entitlement, user_id)


async def _page(session: AsyncSession, query: Select[RowT], row: type[RowT], before: str, limit: int) -> Sequence[RowT]:
    """Ids are UUIDv7, so their order is that of time."""
    if before:
        query = query.where(row.id < before)
    return (await session.scalars(query.order_by(row.id.desc()).limit(limit))).all()
