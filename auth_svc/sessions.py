"""Sessions: opened by a password, shown as a cookie or as tokens, ended by signing out."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from auth_svc import addresses, attempts, audit, session_store, store, tokens, user_store
from auth_svc.access_tokens import AccessTokens, Token
from auth_svc.audit import Fact
from auth_svc.caller import Caller
from auth_svc.challenges import Challenged, Challenges
from auth_svc.clock import Clock
from auth_svc.endings import Endings
from auth_svc.models import Session, User
from auth_svc.opening import SignedIn, idle_end, latest_end
from auth_svc.passwords import Passwords
from svckit.errors import FailedPrecondition, InvalidArgument, NotFound, Unauthenticated
from svckit.postgres import Database

_TOUCH_AFTER = timedelta(minutes=1)


async def own_session(session: AsyncSession, caller: Caller, *, now: datetime) -> Session:
    """The caller's session; FailedPrecondition (SESSION_NEEDED) if it is an API key that calls."""
    found = await session_store.find_own_session(session, caller.session_id, user_id=caller.user_id, now=now)
    if found is None:
        raise FailedPrecondition("an API key cannot do this: sign in", reason="SESSION_NEEDED")
    return found


class Sessions:
    """Opens, proves, lists and ends sessions."""

    def __init__(
        self,
        *,
        database: Database,
        passwords: Passwords,
        challenges: Challenges,
        access_tokens: AccessTokens,
        endings: Endings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._challenges = challenges
        self._access_tokens = access_tokens
        self._endings = endings
        self._clock = clock

    async def sign_in(self, *, email: str, password: str, caller: Caller) -> SignedIn | Challenged:
        """Open a session, or challenge whoever has a second factor.

        Raises Unauthenticated for an unknown address, a wrong password and a disabled account alike, after the same
        work, ResourceExhausted after too many of them, and FailedPrecondition (EMAIL_NOT_VERIFIED) to whoever knows the
        password of an account that is not verified.
        """
        email_key = _key_of(email)
        async with self._database.direct() as driver:
            user = await attempts.begin(driver, email_key, caller, now=self._clock())
        known = user.password_hash if user else None
        right = await self._passwords.verify(password, known)
        if user is None or known is None or not right or user.disabled_at is not None:
            await self._note_failure(user, caller)
            raise _wrong_credentials()
        if not user.verified:
            await self._forgive(email_key, caller)
            raise FailedPrecondition("the address is not verified yet: see your mail", reason="EMAIL_NOT_VERIFIED")
        return await self._open(user.id, known, await self._passwords.rehash(password, known), caller)

    async def sign_out(self, caller: Caller) -> None:
        """End the caller's session, everywhere; again is fine, and an API key has none to end."""
        await self._end(caller.session_id, caller)

    async def list_own(self, user_id: str, *, limit: int, before: str) -> Sequence[Session]:
        """The user's living sessions, newest first; those that were opened before the one with the id `before`."""
        async with self._database.transaction() as session:
            return await session_store.living_sessions(session, user_id, now=self._clock(), limit=limit, before=before)

    async def revoke(self, session_id: str, caller: Caller) -> None:
        """End one of the caller's sessions; NotFound, or FailedPrecondition for an API key."""
        async with self._database.transaction() as session:
            await own_session(session, caller, now=self._clock())
        if not await self._end(session_id, caller):
            raise NotFound("you have no such session")

    async def revoke_others(self, caller: Caller) -> int:
        """End the caller's sessions but the one that calls, and say how many; FailedPrecondition for an API key."""
        now = self._clock()
        async with self._database.transaction() as session:
            own = await own_session(session, caller, now=now)
            ended = await session_store.revoke_sessions_of(session, own.user_id, now=now, keep=own.id)
            audit.note(session, Fact.OTHER_SESSIONS_ENDED, user_id=own.user_id, caller=caller, now=now)
        await self._endings.announce(ended)
        return len(ended)

    async def _end(self, session_id: str, caller: Caller) -> bool:
        """End a session of the caller's; False if there is none that is alive."""
        now, owner = self._clock(), caller.user_id
        async with self._database.transaction() as session:
            if not await session_store.revoke_session(session, session_id, user_id=owner, now=now):
                return False
            audit.note(session, Fact.SESSION_ENDED, user_id=owner, session_id=session_id, caller=caller, now=now)
        await self._endings.announce([session_id])
        return True

    async def exchange(self, session_token: str) -> tuple[str, Token]:
        """The id of that token's session and an access token for it; Unauthenticated if it has ended."""
        now = self._clock()
        async with self._database.transaction() as session:
            found = await session_store.find_session(session, tokens.digest(session_token), now=now)
            if found is None:
                raise Unauthenticated("the session has ended: sign in again", reason="SESSION_INVALID")
            opened, user = found
            if now - opened.last_seen_at >= _TOUCH_AFTER:
                await session_store.touch_session(session, opened.id, now=now, expires_at=idle_end(opened, now))
        return opened.id, self._issue(user, opened, now)

    async def _note_failure(self, user: User | None, caller: Caller) -> None:
        user_id = user.id if user else None
        failed = audit.event(Fact.SIGN_IN_FAILED, user_id=user_id, caller=caller, now=self._clock())
        async with self._database.direct() as driver:
            await store.add_at_once(driver, failed)

    async def _forgive(self, email_key: str, caller: Caller) -> None:
        async with self._database.direct() as driver:
            await attempts.forgive(driver, email_key, caller)

    async def _open(self, user_id: str, known: str, new_hash: str | None, caller: Caller) -> SignedIn | Challenged:
        """Let the user in, unless the password has changed since it was checked."""
        now = self._clock()
        async with self._database.direct() as driver:
            user = await user_store.lock_user_with_password(driver, user_id, known)
            if user is None or user.disabled_at is not None:
                raise _wrong_credentials()
            if new_hash is not None:
                user.password_hash = new_hash
                await user_store.replace_password_hash(driver, user.id, new_hash)
            await attempts.forgive(driver, user.email_key, caller)
            return await self._challenges.admit(driver, user, caller, now=now)

    def _issue(self, user: User, session: Session, now: datetime) -> Token:
        return self._access_tokens.issue(user, session_id=session.id, now=now, no_later_than=latest_end(session))


def _key_of(email: str) -> str:
    """The key of an address; of what is no address, something that is no account's."""
    try:
        return addresses.parse(email).key
    except InvalidArgument:
        return tokens.digest(email).hex()


def _wrong_credentials() -> Unauthenticated:
    return Unauthenticated("wrong e-mail address or password", reason="CREDENTIALS_INVALID")
