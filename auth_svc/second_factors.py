"""Second factors: what signed-in people do to have sign-in ask for a code of their authenticator app as well.

A password reset neither takes one away nor gets around it; API keys and sessions that are open go on without.
"""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from auth_svc import (
    attempts,
    audit,
    letter_store,
    letters,
    recovery_codes,
    second_factor_store,
    sessions,
    totp,
    user_store,
)
from auth_svc.audit import Fact
from auth_svc.caller import Caller
from auth_svc.clock import Clock
from auth_svc.codes import Codes, Shown
from auth_svc.letters import Kind
from auth_svc.models import SecondFactor, User
from auth_svc.reauthentication import Reauthentication
from auth_svc.sealing import Seal
from svckit.errors import FailedPrecondition, NotFound, Unauthenticated
from svckit.postgres import Database


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A secret that waits to be confirmed."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Status:
    """What an account has; `enabled_at` is None if sign-in asks for nothing more."""

    enabled_at: datetime | None
    codes_left: int


class SecondFactors:
    """Enrols, confirms and takes away."""

    def __init__(
        self, *, database: Database, reauthentication: Reauthentication, seal: Seal, codes: Codes, clock: Clock
    ) -> None:
        self._database = database
        self._reauthentication = reauthentication
        self._seal = seal
        self._codes = codes
        self._clock = clock

    async def status(self, user_id: str) -> Status:
        async with self._database.transaction() as session:
            factor = await second_factor_store.find_confirmed(session, user_id)
            left = await second_factor_store.count_recovery_codes(session, user_id)
        return Status(factor.confirmed_at if factor else None, left)

    async def enroll(self, *, password: str, caller: Caller) -> Enrolled:
        """A new secret of the caller's, in the place of one that was never confirmed.

        Raises as `Reauthentication.ask` does, and FailedPrecondition (MFA_ENABLED).
        """
        await self._ask_again(password, caller)
        secret, now = totp.new_secret(), self._clock()
        async with self._database.transaction() as session:
            user = await _locked(session, caller)
            if await second_factor_store.find_confirmed(session, user.id):
                raise FailedPrecondition("the account has a second factor already", reason="MFA_ENABLED")
            await second_factor_store.remove(session, user.id)
            session.add(_unconfirmed(user, self._seal.seal(secret.encode()), now))
        return Enrolled(secret, totp.uri(secret, account=user.email))

    async def confirm(self, code: str, caller: Caller) -> list[str]:
        """Make the enrolled secret count from now on; the recovery codes.

        Raises Unauthenticated (CODE_INVALID), ResourceExhausted, and FailedPrecondition (MFA_NOT_ENROLLED, or
        SESSION_NEEDED for an API key).
        """
        now = self._clock()
        async with self._database.transaction() as session:
            user = await _locked(session, caller)
            await sessions.own_session(session, caller, now=now)
            factor = await second_factor_store.find(session, user.id)
            if factor is None or factor.confirmed_at:
                raise _not_enrolled()
            refusal = await self._codes.refusal(session, user, factor, Shown("code", code), caller, now=now)
            if refusal is None:
                factor.confirmed_at = now
                await _tell(session, Kind.MFA_ENABLED, Fact.MFA_ENABLED, user, caller, now)
                return await _new_recovery_codes(session, user)
        raise refusal

    async def disable(self, shown: Shown, caller: Caller) -> None:
        """Take the second factor away, by a code of it or by the password.

        Raises as `Reauthentication.ask` and `confirm` do.
        """
        await self._prove(shown, caller)
        now = self._clock()
        async with self._database.transaction() as session:
            user = await _locked(session, caller)
            await _confirmed(session, user)
            await second_factor_store.remove(session, user.id)
            await _tell(session, Kind.MFA_DISABLED, Fact.MFA_DISABLED, user, caller, now)

    async def regenerate(self, shown: Shown, caller: Caller) -> list[str]:
        """Ten new recovery codes in the place of those before, by a code or by the password. Raises as `disable`."""
        await self._prove(shown, caller)
        now = self._clock()
        async with self._database.transaction() as session:
            user = await _locked(session, caller)
            await _confirmed(session, user)
            audit.note(session, Fact.RECOVERY_CODES_MADE, user_id=user.id, caller=caller, now=now)
            return await _new_recovery_codes(session, user)

    async def reset(self, user_id: str, caller: Caller) -> None:
        """Take somebody's second factor away, as an administrator; NotFound if there is none."""
        now = self._clock()
        async with self._database.transaction() as session:
            user = await user_store.lock_user(session, user_id)
            if user is None or await second_factor_store.find_confirmed(session, user_id) is None:
                raise NotFound("there is no second factor to take away")
            await second_factor_store.remove(session, user.id)
            await _tell(session, Kind.MFA_DISABLED, Fact.MFA_DISABLED, user, caller, now)

    async def _prove(self, shown: Shown, caller: Caller) -> None:
        if shown.kind == "password":
            await self._ask_again(shown.text, caller)
            return
        now = self._clock()
        async with self._database.transaction() as session:
            user = await _locked(session, caller)
            await sessions.own_session(session, caller, now=now)
            factor = await _confirmed(session, user)
            refusal = await self._codes.refusal(session, user, factor, shown, caller, now=now)
        if refusal:
            raise refusal

    async def _ask_again(self, password: str, caller: Caller) -> None:
        async with self._database.transaction() as session:
            user = await _locked(session, caller)
        await self._reauthentication.ask(user, password, caller)
        async with self._database.direct() as driver:
            await attempts.forgive(driver, user.email_key, caller)


async def _locked(session: AsyncSession, caller: Caller) -> User:
    """The caller's account, locked; Unauthenticated if it is gone."""
    user = await user_store.lock_user(session, caller.user_id)
    if user is None or user.disabled_at is not None:
        raise Unauthenticated("the account is no more", reason="TOKEN_INVALID")
    return user


async def _confirmed(session: AsyncSession, user: User) -> SecondFactor:
    if (factor := await second_factor_store.find_confirmed(session, user.id)) is None:
        raise _not_enrolled()
    return factor


async def _new_recovery_codes(session: AsyncSession, user: User) -> list[str]:
    codes = recovery_codes.new_codes()
    digests = [recovery_codes.digest(code) for code in codes]
    await second_factor_store.replace_recovery_codes(session, user.id, digests)
    return codes


async def _tell(session: AsyncSession, kind: Kind, fact: Fact, user: User, caller: Caller, now: datetime) -> None:
    """The owner by mail, and whoever reads the audit log."""
    await letter_store.add_letter(session, letters.letter(kind, user.email_key, now=now))
    audit.note(session, fact, user_id=user.id, caller=caller, now=now)


def _unconfirmed(user: User, sealed: str, now: datetime) -> SecondFactor:
    return SecondFactor(user_id=user.id, sealed=sealed, created_at=now, last_step=0, failures=0)


def _not_enrolled() -> FailedPrecondition:
    return FailedPrecondition("the account has no second factor to do this with", reason="MFA_NOT_ENROLLED")
