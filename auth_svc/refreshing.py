"""Refresh tokens: each works once and gives the next one; one that is used again later was stolen.

A successor is made of the token and of a salt that lies in the database: HMAC-SHA256(token, salt). So a repeat within
the grace answers the same successor, as tabs that refresh together and answers that got lost need it, and yet neither
the database nor a used token alone tells it. The first exchange after the grace forgets the salt.
"""

import base64
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from auth_svc import audit, letter_store, letters, session_store, tokens, user_store
from auth_svc.access_tokens import AccessTokens, Token
from auth_svc.audit import Fact
from auth_svc.caller import Caller
from auth_svc.clock import Clock
from auth_svc.endings import Endings
from auth_svc.letters import Kind
from auth_svc.models import RefreshToken, Session, User
from auth_svc.opening import Tokens, idle_end, latest_end
from svckit.errors import Unauthenticated
from svckit.postgres import Database

_GRACE = timedelta(seconds=30)
_SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class Presented:
    """A refresh token that somebody shows, and what is known of it. Its session is alive and locked."""

    token: str
    kept: RefreshToken
    session: Session
    user: User


class Refreshing:
    """Exchanges refresh tokens."""

    def __init__(self, *, database: Database, access_tokens: AccessTokens, endings: Endings, clock: Clock) -> None:
        self._database = database
        self._access_tokens = access_tokens
        self._endings = endings
        self._clock = clock

    async def refresh(self, token: str, caller: Caller) -> Tokens:
        """The next tokens of a session; Unauthenticated (REFRESH_TOKEN_INVALID) for a token that does not count."""
        now = self._clock()
        async with self._database.transaction() as session:
            presented = await _find(session, token, now)
            successor = await _successor(session, presented, now)
            if successor is None:
                await _end_stolen(session, presented, caller, now)
        if successor is None:
            await self._endings.announce([presented.session.id])
            raise _invalid()
        return Tokens(
            access=self._access_tokens.issue(
                presented.user,
                session_id=presented.session.id,
                now=now,
                no_later_than=latest_end(presented.session),
            ),
            refresh=successor,
        )


async def _find(session: AsyncSession, token: str, now: datetime) -> Presented:
    """Lock the token's session, and only then read the token: of calls with one token, each sees what the last did."""
    digest = tokens.digest(token)
    opened = await session_store.lock_session_of_refresh_token(session, digest, now=now)
    kept = opened and await session_store.find_refresh_token(session, digest)
    user = opened and await user_store.find_user(session, opened.user_id)
    if not (opened and kept and user) or kept.expires_at <= now or user.disabled_at is not None:
        raise _invalid()
    return Presented(token, kept, opened, user)


async def _successor(session: AsyncSession, presented: Presented, now: datetime) -> Token | None:
    """The next token: a new one at first, the same again within the grace; None after that."""
    kept, opened = presented.kept, presented.session
    if kept.used_at is not None:
        if kept.salt is None or now - kept.used_at > _GRACE:
            return None
        value = _derived(presented.token, kept.salt)
        successor = await session_store.find_refresh_token(session, tokens.digest(value))
        return Token(value, successor.expires_at) if successor else None
    kept.used_at, kept.salt = now, secrets.token_bytes(_SALT_BYTES)
    opened.last_seen_at, opened.expires_at = now, idle_end(opened, now)
    await session_store.forget_salts(session, opened.id, used_before=now - _GRACE)
    value = _derived(presented.token, kept.salt)
    session.add(
        RefreshToken(digest=tokens.digest(value), session_id=opened.id, created_at=now, expires_at=opened.expires_at)
    )
    return Token(value, opened.expires_at)


async def _end_stolen(session: AsyncSession, presented: Presented, caller: Caller, now: datetime) -> None:
    """Two hold tokens of one session and one of them is a thief, so neither keeps it; its owner is told."""
    opened, user = presented.session, presented.user
    opened.revoked_at = now
    audit.note(session, Fact.REFRESH_TOKEN_REUSED, user_id=user.id, session_id=opened.id, caller=caller, now=now)
    await letter_store.add_letter(session, letters.letter(Kind.SESSION_STOLEN, user.email_key, now=now))


def _derived(token: str, salt: bytes) -> str:
    digest = hmac.digest(token.encode(), salt, "sha256")
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _invalid() -> Unauthenticated:
    message = "the refresh token is unknown, used or too old: sign in again"
    return Unauthenticated(message, reason="REFRESH_TOKEN_INVALID")
