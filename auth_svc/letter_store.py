"""The SQL of letters: those that are to be sent, and those that were written lately."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from auth_svc.models import Letter, Mailing

LETTERS_CHANNEL = "auth_letters"


async def add_letter(session: AsyncSession, letter: Letter) -> None:
    """Have a letter sent if the transaction commits; a sender wakes up then."""
    session.add(letter)
    await session.execute(select(func.pg_notify(LETTERS_CHANNEL, "")))


async def claim_letters(
    session: AsyncSession, *, kinds: Sequence[str], now: datetime, lease: timedelta, limit: int
) -> Sequence[Letter]:
    """Letters of those kinds to send now: nobody else gets them until the lease is over."""
    due = select(Letter.id).where(Letter.due_at <= now, Letter.kind.in_(kinds)).order_by(Letter.due_at).limit(limit)
    claimed = (
        update(Letter)
        .where(Letter.id.in_(due.with_for_update(skip_locked=True)))
        .values(due_at=now + lease, attempts=Letter.attempts + 1)
        .returning(Letter)
    )
    return (await session.scalars(claimed)).all()


async def letter_is_wanted(session: AsyncSession, letter_id: str) -> bool:
    """False once it was sent or dropped."""
    return await session.scalar(select(Letter.id).where(Letter.id == letter_id)) is not None


async def delay_letter(session: AsyncSession, letter_id: str, *, until: datetime) -> None:
    await session.execute(update(Letter).where(Letter.id == letter_id).values(due_at=until))


async def drop_letter(session: AsyncSession, letter_id: str) -> None:
    await session.execute(delete(Letter).where(Letter.id == letter_id))


async def drop_letters_to(session: AsyncSession, email_key: str, *, kind: str) -> None:
    await session.execute(delete(Letter).where(Letter.email_key == email_key, Letter.kind == kind))


async def put_off_letter(session: AsyncSession, letter: Letter, *, until: datetime) -> None:
    """Send it later, and take it for that much younger."""
    later = letter.expires_at + (until - letter.created_at)
    await session.execute(update(Letter).where(Letter.id == letter.id).values(due_at=until, expires_at=later))


async def another_letter_waits(session: AsyncSession, letter: Letter) -> bool:
    """Whether the same account has another letter of the same kind to come."""
    same = select(Letter.id).where(Letter.email_key == letter.email_key, Letter.kind == letter.kind)
    return await session.scalar(same.where(Letter.id != letter.id).limit(1)) is not None


async def mailings_since(session: AsyncSession, email_key: str, since: datetime) -> Sequence[Mailing]:
    """Letters that were written to an address after that time, oldest first."""
    written = select(Mailing).where(Mailing.email_key == email_key, Mailing.written_at > since)
    return (await session.scalars(written.order_by(Mailing.written_at))).all()
