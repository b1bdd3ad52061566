"""The way in for whoever has shown a password, or what counts as one: a session, or first a challenge.

A challenge asks for the second factor: a token for five minutes and five tries, kept as its SHA-256. It is bound to the
password that was shown: when that changes, by a reset or otherwise, the challenge is void.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from auth_svc import second_factor_store, store, tokens
from auth_svc.access_tokens import AccessTokens, Token
from auth_svc.caller import Caller
from auth_svc.clock import Clock
from auth_svc.codes import Codes, Shown
from auth_svc.models import Challenge, User
from auth_svc.opening import SignedIn, open_session
from svckit import postgres
from svckit.errors import ServiceError, Unauthenticated
from svckit.postgres import Database
from svckit.statements import Driver

_LIFE = timedelta(minutes=5)
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Challenged:
    """There is no session yet: the token is for `Challenges.meet`."""

    token: Token


class Challenges:
    """Lets people in by one factor where that is enough, else challenges them for the second one."""

    def __init__(self, *, database: Database, access_tokens: AccessTokens, codes: Codes, clock: Clock) -> None:
        self._database = database
        self._access_tokens = access_tokens
        self._codes = codes
        self._clock = clock

    async def admit(self, driver: Driver, user: User, caller: Caller, *, now: datetime) -> SignedIn | Challenged:
        """What the first factor opens. The user is locked, verified and not disabled."""
        if not await second_factor_store.is_asked_for(driver, user.id):
            return await open_session(driver, user, caller, access_tokens=self._access_tokens, now=now)
        token = Token(tokens.new_token(), now + _LIFE)
        await store.add_at_once(driver, _kept(token, user))
        return Challenged(token)

    async def meet(self, token: str, shown: Shown, caller: Caller) -> SignedIn:
        """Open the session that the challenge stands for.

        Raises Unauthenticated (CHALLENGE_INVALID, CODE_INVALID), and ResourceExhausted after too many wrong codes.
        """
        now, digest = self._clock(), tokens.digest(token)
        async with self._database.transaction() as session:
            user = await second_factor_store.lock_challenged(session, digest)
            challenge = await second_factor_store.find_challenge(session, digest, now=now)
            factor = user and await second_factor_store.find_confirmed(session, user.id)
            if not (user and challenge and factor) or user.disabled_at or challenge.password_mark != _mark(user):
                raise _challenge_invalid()
            refusal = await self._codes.refusal(session, user, factor, shown, caller, now=now)
            if refusal is None:
                await session.delete(challenge)
                driver = await postgres.driver_of(session)
                return await open_session(driver, user, caller, access_tokens=self._access_tokens, now=now)
            await _count(session, challenge, refusal)
        raise refusal


async def _count(session: AsyncSession, challenge: Challenge, refusal: ServiceError) -> None:
    """Take a try away for a wrong code; a code that was not looked at costs nothing."""
    challenge.tries += isinstance(refusal, Unauthenticated)
    if challenge.tries >= _TRIES:
        await session.delete(challenge)


def _kept(token: Token, user: User) -> Challenge:
    return Challenge(
        digest=tokens.digest(token.value),
        user_id=user.id,
        password_mark=_mark(user),
        tries=0,
        expires_at=token.expires_at,
    )


def _mark(user: User) -> bytes:
    """What tells one password of the user from the next."""
    return hashlib.sha256((user.password_hash or "").encode()).digest()


def _challenge_invalid() -> Unauthenticated:
    return Unauthenticated("sign in again: this sign-in is unknown, too old or used", reason="CHALLENGE_INVALID")
