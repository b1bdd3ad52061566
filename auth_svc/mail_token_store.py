"""The SQL of the tokens that mailed links carry."""

from datetime import datetime

from sqlalchemy import and_, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from auth_svc.models import MailToken, User


async def add_mail_token(session: AsyncSession, token: MailToken) -> None:
    """Keep a token; those of the user's earlier letters of that kind are void."""
    earlier = and_(MailToken.kind == token.kind, MailToken.letter_id != token.letter_id)
    await session.execute(delete(MailToken).where(MailToken.user_id == token.user_id, earlier))
    session.add(token)


async def lock_owner_of_token(session: AsyncSession, digest: bytes) -> User | None:
    owner = select(User).join(MailToken, MailToken.user_id == User.id).where(MailToken.digest == digest)
    return await session.scalar(owner.with_for_update(of=User))


async def use_mail_token(session: AsyncSession, digest: bytes, *, kind: str, now: datetime) -> bool:
    """Use a token up; False if it is unknown, used, void, expired, or of another kind."""
    used = delete(MailToken).where(MailToken.digest == digest, MailToken.kind == kind, MailToken.expires_at > now)
    return await session.scalar(used.returning(MailToken.digest)) is not None


async def void_mail_tokens(session: AsyncSession, user_id: str) -> None:
    await session.execute(delete(MailToken).where(MailToken.user_id == user_id))
