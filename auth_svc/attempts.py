"""Wrong passwords make the next attempt wait: guessing gets slow, and an owner is never locked out for good.

Attempts are counted by account and network, and by account alone. One counts before its password is checked, or guesses
that are made at once would all be free; a right one is taken back. Addresses without an account are counted just the
same. What the whole account has to wait for does not hold up an address that its owner has signed in from lately, so a
stranger who guesses on and on does not keep the owner out; a password reset forgets all attempts.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import AddressValueError, IPv6Address, IPv6Network

from sqlalchemy.ext.asyncio import AsyncSession

from auth_svc import store, tokens
from auth_svc.caller import Caller
from auth_svc.models import Attempts
from svckit.errors import ResourceExhausted

MEMORY = timedelta(hours=24)
"""After this long without an attempt, those before it do not count any more."""

_EVERYWHERE = "*"
_FIRST_DELAY = timedelta(seconds=1)
_LONGEST_DELAY = timedelta(minutes=15)
_PREFIX = 64  # bits of an IPv6 address that one customer of a provider has


@dataclass(frozen=True, slots=True)
class Rule:
    """The first `free` attempts cost nothing; each one after that doubles the wait for the next."""

    free: int

    def delay(self, attempts: int) -> timedelta:
        """How long the next one waits after that many."""
        over = attempts - self.free
        return timedelta(0) if over < 0 else min(_FIRST_DELAY * 2 ** min(over, 20), _LONGEST_DELAY)


_BY_NETWORK = Rule(free=10)
_BY_ACCOUNT = Rule(free=100)


async def begin(session: AsyncSession, email_key: str, caller: Caller, *, now: datetime) -> None:
    """Count an attempt, if the transaction commits; ResourceExhausted (TOO_MANY_ATTEMPTS) if it comes too early."""
    account = tokens.digest(email_key)
    await store.lock_attempts(session, account)
    here = await _counter(session, account, _network(caller.ip_address), now)
    everywhere = await _counter(session, account, _EVERYWHERE, now)
    if here.blocked_until > now:
        raise _too_many(here.blocked_until - now)
    if everywhere.blocked_until > now and not await store.signed_in_from(session, email_key, caller.ip_address):
        raise _too_many(everywhere.blocked_until - now)
    _count(here, _BY_NETWORK, now)
    _count(everywhere, _BY_ACCOUNT, now)


async def forgive(session: AsyncSession, email_key: str, caller: Caller) -> None:
    """The password was right: forget the network's attempts, and this one of the account's."""
    account = tokens.digest(email_key)
    await store.lock_attempts(session, account)
    if here := await store.find_attempts(session, account, _network(caller.ip_address)):
        await session.delete(here)
    if everywhere := await store.find_attempts(session, account, _EVERYWHERE):
        everywhere.count = max(everywhere.count - 1, 0)


async def forget_all(session: AsyncSession, email_key: str) -> None:
    """Whoever resets a password has shown who they are."""
    account = tokens.digest(email_key)
    await store.lock_attempts(session, account)
    await store.forget_attempts(session, account)


async def _counter(session: AsyncSession, account: bytes, network: str, now: datetime) -> Attempts:
    found = await store.find_attempts(session, account, network)
    if found is None:
        found = Attempts(account=account, network=network, count=0, last_at=now, blocked_until=now)
        session.add(found)
    return found


def _count(attempts: Attempts, rule: Rule, now: datetime) -> None:
    attempts.count = 1 if now - attempts.last_at > MEMORY else attempts.count + 1
    attempts.last_at, attempts.blocked_until = now, now + rule.delay(attempts.count)


def _network(ip_address: str) -> str:
    """What one customer of a provider can choose addresses from: an IPv4 address, the first half of an IPv6 one."""
    try:
        address = IPv6Address(ip_address)
    except AddressValueError:
        return ip_address
    return str(address.ipv4_mapped or IPv6Network((address, _PREFIX), strict=False))


def _too_many(wait: timedelta) -> ResourceExhausted:
    return ResourceExhausted("too many wrong passwords: wait a little", reason="TOO_MANY_ATTEMPTS", retry_after=wait)
