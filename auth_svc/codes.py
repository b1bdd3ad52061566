"""Checking the codes that somebody shows as a second factor: one of the app, which counts once, or a recovery code.

Wrong codes make the account wait, longer each time: six digits are soon guessed otherwise, by whoever has the password.
Recovery codes are too long to guess, so they are not held up, and are the owner's way around somebody who guesses on.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from sqlalchemy.ext.asyncio import AsyncSession

from auth_svc import audit, letter_store, letters, recovery_codes, second_factor_store, totp
from auth_svc.audit import Fact
from auth_svc.caller import Caller
from auth_svc.letters import Kind
from auth_svc.models import SecondFactor, User
from auth_svc.sealing import Seal
from svckit.errors import ResourceExhausted, ServiceError, Unauthenticated

_FREE = 5  # wrong codes; each one after that makes the next wait twice as long
_FIRST_WAIT = timedelta(seconds=1)
_LONGEST_WAIT = timedelta(minutes=15)

ShownKind: TypeAlias = Literal["code", "recovery_code", "password"]


@dataclass(frozen=True, slots=True)
class Shown:
    """What somebody shows; `kind` is the field of the request that it came in."""

    kind: ShownKind
    text: str = field(repr=False)


class Codes:
    """Checks codes of users that are locked."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal

    async def refusal(
        self,
        session: AsyncSession,
        user: User,
        factor: SecondFactor,
        shown: Shown,
        caller: Caller,
        *,
        now: datetime,
    ) -> ServiceError | None:
        """Why it does not count; None if it does, and it is used up.

        Not raised, because the transaction must commit either way: a wrong code is counted in it.
        """
        if shown.kind == "recovery_code":
            refusal = await _use_recovery_code(session, user, shown.text, caller, now=now)
        else:
            refusal = self._try(factor, shown.text, now=now)
        if isinstance(refusal, Unauthenticated):
            audit.note(session, Fact.MFA_CODE_WRONG, user_id=user.id, caller=caller, now=now, detail=shown.kind)
        return refusal

    def _try(self, factor: SecondFactor, code: str, *, now: datetime) -> ServiceError | None:
        if factor.blocked_until and factor.blocked_until > now:
            return _too_many(factor.blocked_until - now)
        secret = self._seal.open(factor.sealed).decode()
        step = totp.matching_step(secret, code, now=now, after=factor.last_step)
        if step is None:
            factor.failures += 1
            factor.blocked_until = now + _wait_after(factor.failures)
            return _code_invalid()
        factor.failures, factor.last_step = 0, step
        return None


async def _use_recovery_code(
    session: AsyncSession, user: User, code: str, caller: Caller, *, now: datetime
) -> ServiceError | None:
    if not await second_factor_store.use_recovery_code(session, user.id, recovery_codes.digest(code)):
        return _code_invalid()
    await letter_store.add_letter(session, letters.letter(Kind.RECOVERY_CODE_USED, user.email_key, now=now))
    audit.note(session, Fact.RECOVERY_CODE_USED, user_id=user.id, caller=caller, now=now)
    return None


def _wait_after(failures: int) -> timedelta:
    over = failures - _FREE
    return timedelta(0) if over < 0 else min(_FIRST_WAIT * 2 ** min(over, 20), _LONGEST_WAIT)


def _too_many(wait: timedelta) -> ResourceExhausted:
    return ResourceExhausted("too many wrong codes: wait a little", reason="TOO_MANY_ATTEMPTS", retry_after=wait)


def _code_invalid() -> Unauthenticated:
    return Unauthenticated("the code is wrong, or was used before", reason="CODE_INVALID")
