"""All SQL of Stripe's webhooks."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from billing_svc.models import StripeEvent

_WAITING = ("received", "failed")


async def keep_event(session: AsyncSession, event: Mapping[str, object]) -> bool:
    """Store a webhook; false when its id is stored already."""
    row = insert(StripeEvent).values(event).on_conflict_do_nothing()
    return await session.scalar(row.returning(StripeEvent.id)) is not None


async def event_payload(session: AsyncSession, event_id: str) -> bytes:
    return (await session.execute(select(StripeEvent.payload).where(StripeEvent.id == event_id))).scalar_one()


async def lease_event(session: AsyncSession, *, now: datetime, lease: timedelta) -> StripeEvent | None:
    """Take the event that has waited longest, for the time of the lease: if we die, it waits again."""
    waiting = StripeEvent.status.in_(_WAITING)
    oldest = select(StripeEvent.id).where(waiting, StripeEvent.due_at <= now).order_by(StripeEvent.due_at).limit(1)
    taken = (
        update(StripeEvent)
        .where(StripeEvent.id == oldest.with_for_update(skip_locked=True).scalar_subquery())
        .values(
            attempts=StripeEvent.attempts + 1,
            status="failed",
            last_error="it was begun and not finished",
            due_at=now + lease,
        )
        .returning(StripeEvent)
    )
    return await session.scalar(taken)


async def settle_event(
    session: AsyncSession, event_id: str, *, status: str, error: str = "", due: datetime | None = None
) -> None:
    """Note what became of an event, and when it is due again if it failed."""
    values = {"status": status, "last_error": error} | ({"due_at": due} if due else {})
    await session.execute(update(StripeEvent).where(StripeEvent.id == event_id).values(values))


async def events_page(
    session: AsyncSession,
    *,
    status: str,
    type_: str,
    customer: str,
    before: tuple[datetime, str] | None,
    limit: int,
) -> Sequence[StripeEvent]:
    """Events in the reverse order of their coming, past the one `before`; an empty filter lets all pass."""
    query = select(StripeEvent)
    for column, wanted in ((StripeEvent.status, status), (StripeEvent.type, type_), (StripeEvent.customer, customer)):
        if wanted:
            query = query.where(column == wanted)
    if before:
        query = query.where(tuple_(StripeEvent.received_at, StripeEvent.id) < before)
    order = query.order_by(StripeEvent.received_at.desc(), StripeEvent.id.desc())
    return (await session.scalars(order.limit(limit))).all()


async def find_event(session: AsyncSession, event_id: str) -> StripeEvent | None:
    return await session.get(StripeEvent, event_id)


async def replay_event(session: AsyncSession, event_id: str, *, now: datetime) -> StripeEvent | None:
    """Have it wait as if it had just come; None for one that is not there or about no customer."""
    again = update(StripeEvent).where(StripeEvent.id == event_id, StripeEvent.customer != "")
    values = {"status": "received", "attempts": 0, "last_error": "", "due_at": now}
    return await session.scalar(again.values(values).returning(StripeEvent))
