"""What signed-in people do to their own account."""

from datetime import datetime

from chatmesh.events.v1.events_pb2 import UserDeleted
from sqlalchemy.ext.asyncio import AsyncSession

from auth_svc import (
    addresses,
    attempts,
    audit,
    letter_store,
    letters,
    mail_token_store,
    models,
    passwords,
    session_store,
    texts,
    user_store,
)
from auth_svc.administration import keep_an_administrator
from auth_svc.audit import Fact
from auth_svc.caller import Caller
from auth_svc.clock import Clock
from auth_svc.endings import Endings
from auth_svc.known_users import KnownUsers
from auth_svc.letters import Kind
from auth_svc.models import User
from auth_svc.passwords import Passwords
from auth_svc.reauthentication import Reauthentication, wrong_password
from svckit import events, outbox, postgres
from svckit.errors import Unauthenticated
from svckit.postgres import Database


class OwnAccount:
    """Shows and changes the account of whoever calls."""

    def __init__(
        self,
        *,
        database: Database,
        known_users: KnownUsers,
        passwords: Passwords,
        reauthentication: Reauthentication,
        endings: Endings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._known_users = known_users
        self._passwords = passwords
        self._reauthentication = reauthentication
        self._endings = endings
        self._clock = clock

    async def find(self, user_id: str) -> User:
        """The account of a signed-in caller; Unauthenticated if it is gone."""
        async with self._database.transaction() as session:
            user = await user_store.find_user(session, user_id)
        return _living(user)

    async def show(self, user_id: str) -> User:
        """The same, as it was remembered: for showing only."""
        return _living(await self._known_users.find(user_id))

    async def rename(self, user_id: str, name: str | None) -> User:
        """The account, under its new name if there is one; InvalidArgument."""
        if name is not None:
            async with self._database.transaction() as session:
                await user_store.rename_user(session, user_id, texts.line("name", name))
            self._known_users.forget(user_id)
        return await self.find(user_id)

    async def delete(self, *, password: str, caller: Caller) -> None:
        """Delete the account and all that hangs on it, tell the other services, and mail whoever had it.

        Raises Unauthenticated if the password is wrong, ResourceExhausted after too many of those, FailedPrecondition
        for the last administrator, for a sign-in that is too long ago, and for an API key.
        """
        user = await self.find(caller.user_id)
        await self._reauthentication.ask(user, password, caller)
        now = self._clock()
        async with self._database.transaction() as session:
            await user_store.lock_administrators(session)
            locked = await user_store.lock_user(session, user.id)
            if locked is None or locked.password_hash != user.password_hash:
                raise wrong_password()
            await keep_an_administrator(session, locked)
            ended = await session_store.end_access(session, user.id, now=now)
            await user_store.delete_user(session, locked)
            await session_store.add_endings(session, ended, now=now)
            await _tell_deleted(session, locked, caller, now)
        await self._endings.announce(ended)

    async def change_password(self, *, current: str, new: str, caller: Caller) -> None:
        """Set a new password and end every other session.

        Raises Unauthenticated if `current` is wrong, ResourceExhausted after too many of those, InvalidArgument if
        `new` is refused, FailedPrecondition for an API key.
        """
        user = await self.find(caller.user_id)
        own = await self._reauthentication.ask(user, current, caller)
        passwords.refuse_weak(new, addresses.parse(user.email), field="new_password")
        new_hash, now = await self._passwords.hash(new), self._clock()
        async with self._database.transaction() as session:
            unchanged = await user_store.lock_user(session, user.id)
            if unchanged is None or unchanged.password_hash != user.password_hash:
                raise wrong_password()
            unchanged.password_hash = new_hash
            await attempts.forgive(await postgres.driver_of(session), user.email_key, caller)
            await mail_token_store.void_mail_tokens(session, user.id)
            ended = await session_store.revoke_sessions_of(session, user.id, now=now, keep=own.id)
            await letter_store.add_letter(session, letters.letter(Kind.PASSWORD_CHANGED, user.email_key, now=now))
            audit.note(session, Fact.PASSWORD_CHANGED, user_id=user.id, caller=caller, now=now)
        await self._endings.announce(ended)


def _living(user: User | None) -> User:
    if user is None or user.disabled_at is not None:
        raise Unauthenticated("the account is no more", reason="TOKEN_INVALID")
    return user


async def _tell_deleted(session: AsyncSession, user: User, caller: Caller, now: datetime) -> None:
    told = events.event(UserDeleted(user_id=user.id), source="auth", about=user.id, time=now)
    await outbox.add(session, models.outbox, told)
    letter = letters.letter(Kind.ACCOUNT_DELETED, user.email_key, now=now, recipient=user.email)
    await letter_store.add_letter(session, letter)
    audit.note(session, Fact.USER_DELETED, user_id=user.id, caller=caller, now=now)
