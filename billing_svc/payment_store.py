"""All SQL of payments, of refunds, and of the first answers to requests with a key."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias, TypeVar

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from billing_svc.models import Answer, Payment, Refund

BEGUN = "begun"
FAILED = "failed"

Made: TypeAlias = Payment | Refund
MadeT = TypeVar("MadeT", Payment, Refund)


# --- what is made with a row first, payments and refunds alike


async def find(session: AsyncSession, kind: type[MadeT], row_id: str) -> MadeT | None:
    return await session.get(kind, row_id)


async def take(session: AsyncSession, kind: type[MadeT], row_id: str, *, now: datetime, lease: timedelta) -> bool:
    """Begin to work on a row that was left; false when a request is at work on it."""
    free = or_(kind.busy_until.is_(None), kind.busy_until < now)
    taken = update(kind).where(kind.id == row_id, free).values(busy_until=now + lease)
    return await session.scalar(taken.returning(kind.id)) is not None


async def let_go(session: AsyncSession, row: Made, *, spent: bool) -> None:
    """No request works on it any more. `spent`: ask Stripe with a fresh key next time."""
    kind = type(row)
    values: dict[str, object] = {"busy_until": None} | ({"attempt": row.attempt + 1} if spent else {})
    await session.execute(update(kind).where(kind.id == row.id, kind.attempt == row.attempt).values(values))


async def begun(session: AsyncSession, kind: type[MadeT], *, created_before: datetime) -> Sequence[MadeT]:
    """Those whose making was begun before that time and has not ended, oldest first."""
    query = select(kind).where(kind.status == BEGUN, kind.created_at < created_before)
    return (await session.scalars(query.order_by(kind.created_at))).all()


# --- payments


async def find_payment(session: AsyncSession, payment_id: str, *, user_id: str) -> Payment | None:
    """The user's payment."""
    return await session.scalar(select(Payment).where(Payment.id == payment_id, Payment.user_id == user_id))


async def payments_page(session: AsyncSession, user_id: str, *, before: str, limit: int) -> Sequence[Payment]:
    """The user's payments, newest first, past the id `before`."""
    query = select(Payment).where(Payment.user_id == user_id)
    if before:
        query = query.where(Payment.id < before)
    return (await session.scalars(query.order_by(Payment.id.desc()).limit(limit))).all()


async def payments_of(session: AsyncSession, user_id: str) -> Sequence[Payment]:
    """Every payment of the user's."""
    return (await session.scalars(select(Payment).where(Payment.user_id == user_id))).all()


async def keep_card(session: AsyncSession, payment_id: str, card: str) -> None:
    """Note which card is charged, so that asking again asks the same."""
    await session.execute(update(Payment).where(Payment.id == payment_id).values(payment_method=card))


async def fail_payment(session: AsyncSession, payment_id: str, *, code: str, message: str) -> None:
    """Note that a payment which Stripe does not have was declined or given up."""
    begun_one = update(Payment).where(Payment.id == payment_id, Payment.status == BEGUN)
    await session.execute(begun_one.values(status=FAILED, decline_code=code, decline_message=message, busy_until=None))


async def drop_payment(session: AsyncSession, payment_id: str) -> None:
    """Forget a payment that was refused before anything was made, and the key that asked for it."""
    await session.execute(delete(Answer).where(Answer.row_id == payment_id))
    await session.execute(delete(Payment).where(Payment.id == payment_id, Payment.status == BEGUN))


# --- refunds


async def refunds_of(session: AsyncSession, payment_ids: Sequence[str]) -> Sequence[Refund]:
    """Every refund of those payments."""
    return (await session.scalars(select(Refund).where(Refund.payment_id.in_(payment_ids)))).all()


async def refunds_on_their_way(session: AsyncSession, payment_ids: Sequence[str]) -> Mapping[str, int]:
    """Minor units of each of those payments that Stripe has not given back yet; without those where it is nothing."""
    waiting = select(Refund.payment_id, func.sum(Refund.amount_minor)).where(
        Refund.payment_id.in_(payment_ids), Refund.status.in_((BEGUN, "pending"))
    )
    return {payment: int(minor) for payment, minor in await session.execute(waiting.group_by(Refund.payment_id))}


async def reserve(session: AsyncSession, payment_id: str, amount_minor: int) -> bool:
    """Count so much as given back; false when less than that is left."""
    fits = Payment.refunded_minor + amount_minor <= Payment.amount_minor
    reserved = update(Payment).where(Payment.id == payment_id, fits)
    counted = reserved.values(refunded_minor=Payment.refunded_minor + amount_minor)
    return await session.scalar(counted.returning(Payment.id)) is not None


async def lock_payment(session: AsyncSession, payment_id: str) -> Payment | None:
    """The payment; nobody else gives any of it back before this transaction ends."""
    query = select(Payment).where(Payment.id == payment_id)
    return await session.scalar(query.with_for_update(key_share=True))


async def fail_refund(session: AsyncSession, refund: Refund, *, why: str) -> None:
    """Note that Stripe does not have it and will not: what it reserved is free again."""
    failed = update(Refund).where(Refund.id == refund.id, Refund.status == BEGUN)
    await session.execute(failed.values(status=FAILED, failure=why, busy_until=None))
    await count_refunds(session, refund.payment_id)


async def count_refunds(session: AsyncSession, payment_id: str) -> None:
    """Sum a payment's refunds anew; never more than the payment, whatever was refunded by hand at Stripe meanwhile."""
    # In a statement of its own: a sum in the same one would not see what the lock had to wait for.
    await lock_payment(session, payment_id)
    counted = select(func.coalesce(func.sum(Refund.amount_minor), 0)).where(
        Refund.payment_id == payment_id, Refund.status != FAILED
    )
    total = func.least(counted.scalar_subquery(), Payment.amount_minor)
    await session.execute(update(Payment).where(Payment.id == payment_id).values(refunded_minor=total))


# --- first answers


async def answer(session: AsyncSession, user_id: str, rpc: str, key: str) -> Answer | None:
    return await session.get(Answer, (user_id, rpc, key))


async def keep_key(session: AsyncSession, row: Answer) -> bool:
    """Keep what a request asks for; false when its key is kept already."""
    columns = ("user_id", "rpc", "key", "request", "row_id", "created_at")
    values = {column: getattr(row, column) for column in columns}
    kept = insert(Answer).values(values).on_conflict_do_nothing().returning(Answer.key)
    return await session.scalar(kept) is not None


async def keep_answer(session: AsyncSession, user_id: str, rpc: str, key: str, response: bytes) -> bytes:
    """Keep the first answer; whichever came first is returned."""
    this = (Answer.user_id == user_id, Answer.rpc == rpc, Answer.key == key)
    await session.execute(update(Answer).where(*this, Answer.answer.is_(None)).values(answer=response))
    return await session.scalar(select(Answer.answer).where(*this)) or response


async def drop_answers(session: AsyncSession, *, created_before: datetime) -> None:
    await session.execute(delete(Answer).where(Answer.created_at < created_before))
