"""Accounts: how one begins, how its address is proved, and how a forgotten password is replaced.

Nobody learns from an answer, or from how long it took, whether an address has an account: whatever differs is said by
mail, and the work before the answer is the same.
"""

from datetime import datetime

from chatmesh.events.v1.events_pb2 import UserRegistered, UserVerified
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
    tokens,
    user_store,
)
from auth_svc.addresses import Address
from auth_svc.audit import Fact
from auth_svc.caller import Caller
from auth_svc.clock import Clock
from auth_svc.endings import Endings
from auth_svc.letters import Kind
from auth_svc.models import User
from auth_svc.passwords import Passwords
from svckit import events, outbox
from svckit.errors import Aborted, InvalidArgument
from svckit.identity import Role
from svckit.ids import new_id
from svckit.postgres import Database


async def make_admin(session: AsyncSession, *, email: str, password_hash: str, now: datetime) -> bool:
    """Make the address's account a verified administrator's; whether it has the password of `password_hash` now.

    It has if there was no account, or one that was not verified, whose password anybody may have chosen. Raises
    InvalidArgument.
    """
    new = _new_user(addresses.parse(email), "", password_hash, now=now)
    if await user_store.add_user(session, new):
        await _tell_registered(session, new)
    user = await _locked(session, new.email_key)
    if takes_over := not user.verified:
        await _take_over(session, user, new)
    user.role = Role.ADMIN
    await _verify(session, user, now)
    return takes_over


async def of_verified_address(
    session: AsyncSession, address: Address, *, name: str, now: datetime
) -> tuple[User, bool]:
    """The account of an address that a provider has verified, verified and locked, and whether it was made just now.

    A new one has no password. Nor has one that was there and not verified: anybody may have chosen that. One that was
    there may be disabled.
    """
    new = _new_user(address, name, None, now=now)
    made = await user_store.add_user(session, new)
    user = await _locked(session, new.email_key)
    if made:
        await _tell_registered(session, user)
    elif not user.verified:
        await _take_over(session, user, new)
    await _verify(session, user, now)
    return user, made


class Accounts:
    """Makes accounts and changes what proves that somebody owns one."""

    def __init__(self, *, database: Database, passwords: Passwords, endings: Endings, clock: Clock) -> None:
        self._database = database
        self._passwords = passwords
        self._endings = endings
        self._clock = clock

    async def sign_up(self, *, email: str, password: str, name: str) -> None:
        """Make an account and mail its owner; if there is one already, only mail its owner.

        Raises InvalidArgument. An account whose address is not verified yet is nobody's: the new sign-up takes its
        place, and links of the one before are void, so that a link verifies what its own sign-up typed.
        """
        address = addresses.parse(email)
        passwords.refuse_weak(password, address)
        user = _new_user(address, texts.line("name", name), await self._passwords.hash(password), now=self._clock())
        async with self._database.transaction() as session:
            if await user_store.add_user(session, user):
                await _tell_registered(session, user)
                kind = Kind.VERIFY_ADDRESS
            else:
                kind = await _sign_up_again(session, user)
            await letter_store.add_letter(session, letters.letter(kind, address.key, now=user.created_at))

    async def verify_email(self, token: str, caller: Caller) -> User:
        """Use the token of a mailed link; InvalidArgument (TOKEN_INVALID) if it does not count."""
        async with self._database.transaction() as session:
            user, now = await self._use_token(session, token, Kind.VERIFY_ADDRESS)
            await _verify(session, user, now)
            audit.note(session, Fact.USER_VERIFIED, user_id=user.id, caller=caller, now=now)
            return user

    async def resend_verification(self, email: str) -> None:
        await self._ask_for(Kind.VERIFY_ADDRESS, email)

    async def forgot_password(self, email: str) -> None:
        await self._ask_for(Kind.RESET_PASSWORD, email)

    async def reset_password(self, *, token: str, password: str, caller: Caller) -> None:
        """Set a new password by a mailed token, and end every session.

        Raises InvalidArgument; a refused password leaves the token good. The token came by mail, so it proves the
        address as well.
        """
        async with self._database.transaction() as session:
            owner = await _owner(session, token)
        passwords.refuse_weak(password, addresses.parse(owner.email))
        new_hash = await self._passwords.hash(password)
        async with self._database.transaction() as session:
            user, now = await self._use_token(session, token, Kind.RESET_PASSWORD)
            user.password_hash = new_hash
            await mail_token_store.void_mail_tokens(session, user.id)
            await attempts.forget_all(session, user.email_key)
            ended = await session_store.revoke_sessions_of(session, user.id, now=now)
            await _verify(session, user, now)
            await letter_store.add_letter(session, letters.letter(Kind.PASSWORD_CHANGED, user.email_key, now=now))
            audit.note(session, Fact.PASSWORD_RESET, user_id=user.id, caller=caller, now=now)
        await self._endings.announce(ended)

    async def _ask_for(self, kind: Kind, email: str) -> None:
        """Have a letter written; whether there is an account to write about is found out after the answer."""
        address = addresses.parse(email)
        async with self._database.transaction() as session:
            await letter_store.add_letter(session, letters.letter(kind, address.key, now=self._clock()))

    async def _use_token(self, session: AsyncSession, token: str, kind: Kind) -> tuple[User, datetime]:
        """The owner of a mailed token, and now. The owner is locked first: a sign-up in between voids the token."""
        user, now = await _owner(session, token), self._clock()
        if not await mail_token_store.use_mail_token(session, tokens.digest(token), kind=kind, now=now):
            raise _token_invalid()
        return user, now


async def _owner(session: AsyncSession, token: str) -> User:
    """The user that a token was mailed to, locked."""
    if (user := await mail_token_store.lock_owner_of_token(session, tokens.digest(token))) is None:
        raise _token_invalid()
    return user


def _token_invalid() -> InvalidArgument:
    return InvalidArgument.of("token", "is unknown, used or too old: ask for another", reason="TOKEN_INVALID")


async def _sign_up_again(session: AsyncSession, new: User) -> Kind:
    """Sign up with an address that is taken; which letter to send."""
    user = await _locked(session, new.email_key)
    if user.verified:
        return Kind.ACCOUNT_EXISTS
    await _take_over(session, user, new)
    return Kind.VERIFY_ADDRESS


async def _take_over(session: AsyncSession, user: User, new: User) -> None:
    """Put a new sign-up in the place of one that was never verified; what was mailed for that is void."""
    user.email, user.name, user.password_hash = new.email, new.name, new.password_hash
    user.created_at = new.created_at
    await mail_token_store.void_mail_tokens(session, user.id)
    await letter_store.drop_letters_to(session, user.email_key, kind=Kind.VERIFY_ADDRESS)


async def _locked(session: AsyncSession, email_key: str) -> User:
    """The account of that address, which was there a moment ago."""
    if (user := await user_store.lock_user_by_email(session, email_key)) is None:
        raise Aborted("the account was being deleted, try again")
    return user


async def _verify(session: AsyncSession, user: User, now: datetime) -> None:
    """Note that the address is the user's; told once."""
    if not user.verified:
        user.verified_at = now
        told = events.event(UserVerified(user_id=user.id), source="auth", about=user.id, time=now)
        await outbox.add(session, models.outbox, told)


async def _tell_registered(session: AsyncSession, user: User) -> None:
    told = events.event(UserRegistered(user_id=user.id), source="auth", about=user.id, time=user.created_at)
    await outbox.add(session, models.outbox, told)


def _new_user(address: Address, name: str, password_hash: str | None, *, now: datetime) -> User:
    return User(
        id=new_id(),
        email=address.typed,
        email_key=address.key,
        name=name,
        role=Role.USER,
        password_hash=password_hash,
        created_at=now,
    )
