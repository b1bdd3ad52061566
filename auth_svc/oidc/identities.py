"""Identities: whose account somebody is in whom a provider vouches for, and linking the two.

An identity that is new here makes an account, or joins the account of its address, only if the provider has verified
that address. If nobody has verified it here, the account loses its password: else whoever signed up first with somebody
else's address, and a password of their own, would be let into what its true owner does from then on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from auth_svc import (
    accounts,
    addresses,
    audit,
    identity_store,
    letter_store,
    letters,
    session_store,
    sessions,
    texts,
    user_store,
)
from auth_svc.addresses import Address
from auth_svc.audit import Fact
from auth_svc.caller import Caller
from auth_svc.clock import Clock
from auth_svc.letters import Kind
from auth_svc.models import Identity, User
from auth_svc.oidc.id_tokens import Profile
from auth_svc.oidc.trips import Trip
from svckit.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Unauthenticated
from svckit.ids import new_id
from svckit.postgres import Database

_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouched:
    """Whom a provider has vouched for, when, and who says so."""

    provider: str
    issuer: str
    profile: Profile
    caller: Caller
    now: datetime


async def owner(session: AsyncSession, vouched: Vouched) -> User:
    """The user whom an identity signs in, locked; a new one if need be.

    Raises FailedPrecondition (OIDC_EMAIL_NOT_VERIFIED, IDENTITY_EXISTS), and Unauthenticated for a disabled account.
    """
    if (known := await identity_store.find(session, vouched.issuer, vouched.profile.subject)) is not None:
        user = await user_store.lock_user(session, known.user_id)
        if user and await identity_store.touch(session, known.id, now=vouched.now):  # it was not unlinked meanwhile
            return _enabled(user)
    user, made = await accounts.of_verified_address(
        session, _address(vouched.profile), name=_name(vouched.profile), now=vouched.now
    )
    await _join(session, _enabled(user), vouched, tell=not made)
    return user


async def link(session: AsyncSession, trip: Trip, vouched: Vouched) -> None:
    """Make the identity the user's who has set out to link it.

    The session that set out must be alive: who was signed out by a password reset has nothing to link any more. Raises
    AlreadyExists (IDENTITY_TAKEN) and FailedPrecondition (IDENTITY_EXISTS, SIGN_IN_AGAIN).
    """
    user, now = await user_store.lock_user(session, trip.user_id), vouched.now
    own = await session_store.find_own_session(session, trip.session_id, user_id=trip.user_id, now=now)
    if user is None or own is None or vouched.caller.user_id not in ("", user.id):
        raise FailedPrecondition("the session that began this has ended: sign in again", reason="SIGN_IN_AGAIN")
    await _join(session, _enabled(user), vouched, tell=True)


async def refuse_second(session: AsyncSession, user_id: str, issuer: str) -> None:
    """FailedPrecondition (IDENTITY_EXISTS) if the user has an identity of that issuer."""
    if any(each.issuer == issuer for each in await identity_store.of_user(session, user_id)):
        raise FailedPrecondition("the account has another identity of this provider", reason="IDENTITY_EXISTS")


class Identities:
    """What signed-in people see and take away."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list_own(self, user_id: str) -> Sequence[Identity]:
        """The user's identities, oldest first."""
        async with self._database.transaction() as session:
            return await identity_store.of_user(session, user_id)

    async def unlink(self, identity_id: str, caller: Caller) -> None:
        """Take one of the caller's identities away.

        Raises NotFound, and FailedPrecondition (LAST_IDENTITY if nothing else is left to sign in with, SESSION_NEEDED).
        """
        now = self._clock()
        async with self._database.transaction() as session:
            user = await user_store.lock_user(session, caller.user_id)
            await sessions.own_session(session, caller, now=now)
            found = {each.id: each for each in await identity_store.of_user(session, caller.user_id)}
            identity = found.get(identity_id)
            if user is None or identity is None:
                raise NotFound("you have no such identity")
            if user.password_hash is None and len(found) == 1:
                raise FailedPrecondition("set a password first, by resetting it", reason="LAST_IDENTITY")
            await session.delete(identity)
            await letter_store.add_letter(session, letters.letter(Kind.IDENTITY_UNLINKED, user.email_key, now=now))
            detail = identity.provider
            audit.note(session, Fact.IDENTITY_UNLINKED, user_id=user.id, caller=caller, now=now, detail=detail)


async def _join(session: AsyncSession, user: User, vouched: Vouched, *, tell: bool) -> None:
    """Make the identity the user's, who is locked; again is fine."""
    known = await identity_store.find(session, vouched.issuer, vouched.profile.subject)
    if known and known.user_id == user.id:
        return
    if known is None:
        await refuse_second(session, user.id, vouched.issuer)
    if known or not await identity_store.add(session, _new_identity(user, vouched)):
        raise AlreadyExists("this identity is another account's", reason="IDENTITY_TAKEN")
    now, detail = vouched.now, vouched.provider
    audit.note(session, Fact.IDENTITY_LINKED, user_id=user.id, caller=vouched.caller, now=now, detail=detail)
    if tell:
        await letter_store.add_letter(session, letters.letter(Kind.IDENTITY_LINKED, user.email_key, now=now))


def _enabled(user: User) -> User:
    if user.disabled_at is not None:
        raise Unauthenticated("the account cannot be signed in to", reason="CREDENTIALS_INVALID")
    return user


def _address(profile: Profile) -> Address:
    """The address that the provider has verified."""
    try:
        return addresses.parse(profile.email)
    except InvalidArgument as error:
        told = "the provider has not verified an address of yours, which a new account needs"
        raise FailedPrecondition(told, reason="OIDC_EMAIL_NOT_VERIFIED") from error


def _name(profile: Profile) -> str:
    """As much of the provider's name for the person as can be one here."""
    try:
        return texts.line("name", profile.name)[:_LONGEST_NAME]
    except InvalidArgument:
        return ""


def _new_identity(user: User, vouched: Vouched) -> Identity:
    return Identity(
        id=new_id(),
        user_id=user.id,
        provider=vouched.provider,
        issuer=vouched.issuer,
        subject=vouched.profile.subject,
        email=vouched.profile.email,
        created_at=vouched.now,
    )
