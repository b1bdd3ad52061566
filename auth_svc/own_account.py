"""What signed-in people do to their own account."""

from auth_svc import addresses, attempts, audit, letters, passwords, sessions, store
from auth_svc.audit import Fact
from auth_svc.caller import Caller
from auth_svc.clock import Clock
from auth_svc.endings import Endings
from auth_svc.letters import Kind
from auth_svc.models import Session, User
from auth_svc.passwords import Passwords
from svckit.errors import Unauthenticated
from svckit.postgres import Database


class OwnAccount:
    """Shows and changes the account of whoever calls."""

    def __init__(self, *, database: Database, passwords: Passwords, endings: Endings, clock: Clock) -> None:
        self._database = database
        self._passwords = passwords
        self._endings = endings
        self._clock = clock

    async def find(self, user_id: str) -> User:
        """The account of a signed-in caller; Unauthenticated if it is gone."""
        async with self._database.transaction() as session:
            user = await store.find_user(session, user_id)
        if user is None or user.disabled_at is not None:
            raise Unauthenticated("the account is no more", reason="TOKEN_INVALID")
        return user

    async def change_password(self, *, current: str, new: str, caller: Caller) -> None:
        """Set a new password and end every other session.

        Raises Unauthenticated if `current` is wrong, ResourceExhausted after too many of those, InvalidArgument if
        `new` is refused, PermissionDenied for an API key.
        """
        user = await self.find(caller.user_id)
        own = await self._admit(user, current, caller)
        passwords.refuse_weak(new, addresses.parse(user.email), field="new_password")
        new_hash, now = await self._passwords.hash(new), self._clock()
        async with self._database.transaction() as session:
            unchanged = await store.lock_user_with_password(session, user.id, user.password_hash)
            if unchanged is None:
                raise _wrong_password()
            unchanged.password_hash = new_hash
            await attempts.forgive(session, user.email_key, caller)
            await store.void_mail_tokens(session, user.id)
            ended = await store.revoke_sessions_of(session, user.id, now=now, keep=own.id)
            await store.add_letter(session, letters.letter(Kind.PASSWORD_CHANGED, user.email_key, now=now))
            audit.note(session, Fact.PASSWORD_CHANGED, user_id=user.id, caller=caller, now=now)
        await self._endings.announce(ended)

    async def _admit(self, user: User, password: str, caller: Caller) -> Session:
        """The caller's session, once the password was given again: a session may be somebody else's by now."""
        now = self._clock()
        async with self._database.transaction() as session:
            own = await sessions.own_session(session, caller, now=now)
            await attempts.begin(session, user.email_key, caller, now=now)
        if not await self._passwords.verify(password, user.password_hash):
            async with self._database.transaction() as session:
                audit.note(session, Fact.PASSWORD_WRONG, user_id=user.id, caller=caller, now=now)
            raise _wrong_password()
        return own


def _wrong_password() -> Unauthenticated:
    return Unauthenticated("the current password is wrong", reason="CREDENTIALS_INVALID")
