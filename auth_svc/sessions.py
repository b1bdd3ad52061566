"""Sessions: opened by a password, shown as a cookie or as tokens, ended by signing out.

A session ends 7 days after its last use, and 30 days after its start at the latest.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from chatmesh.events.v1.events_pb2 import UserSignedIn

from auth_svc import addresses, models, store, tokens
from auth_svc.clock import Clock
from auth_svc.endings import Endings
from auth_svc.models import RefreshToken, Session, User
from auth_svc.passwords import Passwords
from svckit import events, outbox
from svckit.errors import FailedPrecondition, InvalidArgument, Unauthenticated
from svckit.identity import Claims, SigningKey, mint
from svckit.ids import new_id
from svckit.postgres import Database

ACCESS_TOKEN_LIFE = timedelta(minutes=10)
LONGEST_LIFE = timedelta(days=30)
_IDLE_LIFE = timedelta(days=7)
_TOUCH_AFTER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Client:
    """What opens a session, as shown to its owner."""

    user_agent: str
    ip_address: str


@dataclass(frozen=True, slots=True)
class Token:
    """A secret and its end."""

    value: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session that was just opened, and what proves it."""

    user: User
    session: Token
    access: Token
    refresh: Token


class Sessions:
    """Opens, proves and ends sessions."""

    def __init__(
        self, *, database: Database, passwords: Passwords, endings: Endings, key: SigningKey, clock: Clock
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._endings = endings
        self._key = key
        self._clock = clock

    async def sign_in(self, *, email: str, password: str, client: Client) -> SignedIn:
        """Open a session.

        Raises Unauthenticated for an unknown address and a wrong password alike, after the same work, and
        FailedPrecondition (EMAIL_NOT_VERIFIED) to whoever knows the password of an account that is not verified.
        """
        user = await self._find(email)
        known = user.password_hash if user else None
        right = await self._passwords.verify(password, known)
        if user is None or known is None or not right or user.disabled_at is not None:
            raise _wrong_credentials()
        if not user.verified:
            raise FailedPrecondition("the address is not verified yet: see your mail", reason="EMAIL_NOT_VERIFIED")
        return await self._open(user.id, known, await self._passwords.rehash(password, known), client)

    async def sign_out(self, session_id: str, *, user_id: str) -> None:
        """End a session, everywhere; again is fine."""
        async with self._database.transaction() as session:
            await store.revoke_session(session, session_id, user_id=user_id, now=self._clock())
        await self._endings.announce([session_id])

    async def exchange(self, session_token: str) -> tuple[str, Token]:
        """The id of that token's session and an access token for it; Unauthenticated if it has ended."""
        now = self._clock()
        async with self._database.transaction() as session:
            found = await store.find_session(session, tokens.digest(session_token), now=now)
            if found is None:
                raise Unauthenticated("the session has ended: sign in again", reason="SESSION_INVALID")
            opened, user = found
            if now - opened.last_seen_at >= _TOUCH_AFTER:
                expires_at = min(now + _IDLE_LIFE, opened.created_at + LONGEST_LIFE)
                await store.touch_session(session, opened.id, now=now, expires_at=expires_at)
        return opened.id, self._access_token(user, opened, now)

    async def _find(self, email: str) -> User | None:
        try:
            address = addresses.parse(email)
        except InvalidArgument:
            return None  # no account has it
        async with self._database.transaction() as session:
            return await store.find_user_by_email(session, address.key)

    async def _open(self, user_id: str, known: str, new_hash: str | None, client: Client) -> SignedIn:
        """Keep a new session, unless the password has changed since it was checked."""
        now = self._clock()
        session_token, refresh_token = tokens.new_token(), tokens.new_token()
        async with self._database.transaction() as session:
            user = await store.lock_user_with_password(session, user_id, known)
            if user is None or user.disabled_at is not None:
                raise _wrong_credentials()
            user.password_hash = new_hash or known
            opened = _new_session(user, session_token, client, now)
            session.add(opened)
            await session.flush()
            session.add(_kept(refresh_token, opened))
            told = events.event(
                UserSignedIn(user_id=user.id, session_id=opened.id), source="auth", about=user.id, time=now
            )
            await outbox.add(session, models.outbox, told)
        return SignedIn(
            user=user,
            session=Token(session_token, opened.expires_at),
            access=self._access_token(user, opened, now),
            refresh=Token(refresh_token, opened.expires_at),
        )

    def _access_token(self, user: User, session: Session, now: datetime) -> Token:
        expires_at = min(now + ACCESS_TOKEN_LIFE, session.created_at + LONGEST_LIFE)
        claims = Claims(
            user_id=user.id, session_id=session.id, role=user.as_role, token_id=new_id(), expires=expires_at
        )
        return Token(mint(claims, self._key, now=now), expires_at)


def _new_session(user: User, token: str, client: Client, now: datetime) -> Session:
    return Session(
        id=new_id(),
        user_id=user.id,
        token_digest=tokens.digest(token),
        user_agent=client.user_agent,
        ip_address=client.ip_address,
        created_at=now,
        last_seen_at=now,
        expires_at=now + _IDLE_LIFE,
    )


def _kept(refresh_token: str, session: Session) -> RefreshToken:
    return RefreshToken(
        digest=tokens.digest(refresh_token),
        session_id=session.id,
        created_at=session.created_at,
        expires_at=session.expires_at,
    )


def _wrong_credentials() -> Unauthenticated:
    return Unauthenticated("wrong e-mail address or password", reason="CREDENTIALS_INVALID")
