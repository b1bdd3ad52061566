"""Asking signed-in people who they are once more, before what would hurt most if their session were somebody else's."""

from datetime import datetime, timedelta

from auth_svc import attempts, audit, sessions
from auth_svc.audit import Fact
from auth_svc.caller import Caller
from auth_svc.clock import Clock
from auth_svc.models import Session, User
from auth_svc.passwords import Passwords
from svckit import postgres
from svckit.errors import FailedPrecondition, Unauthenticated
from svckit.postgres import Database

_FRESH = timedelta(minutes=10)


class Reauthentication:
    """Asks for the password."""

    def __init__(self, *, database: Database, passwords: Passwords, clock: Clock) -> None:
        self._database = database
        self._passwords = passwords
        self._clock = clock

    async def ask(self, user: User, password: str, caller: Caller) -> Session:
        """The caller's session, once the password was given again; without a password, a fresh session says as much.

        The attempt counts until `attempts.forgive`. Raises Unauthenticated if the password is wrong, ResourceExhausted
        after too many of those, FailedPrecondition for a sign-in that is too long ago and for an API key.
        """
        now = self._clock()
        async with self._database.transaction() as session:
            own = await sessions.own_session(session, caller, now=now)
            if user.password_hash is None:
                refuse_stale(own, now)
                return own
            await attempts.begin(await postgres.driver_of(session), user.email_key, caller, now=now)
        if not await self._passwords.verify(password, user.password_hash):
            async with self._database.transaction() as session:
                audit.note(session, Fact.PASSWORD_WRONG, user_id=user.id, caller=caller, now=now)
            raise wrong_password()
        return own


def refuse_stale(own: Session, now: datetime) -> None:
    """FailedPrecondition (SIGN_IN_AGAIN) unless the session was opened within the last ten minutes."""
    if now - own.created_at > _FRESH:
        raise FailedPrecondition("sign in again to do this", reason="SIGN_IN_AGAIN")


def wrong_password() -> Unauthenticated:
    return Unauthenticated("the current password is wrong", reason="CREDENTIALS_INVALID")
