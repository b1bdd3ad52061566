"""Wrong passwords make the next attempt wait: guessing gets slow, and an owner is never locked out for good.

Attempts are counted by account and network, and by account alone. One counts before its password is checked, or guesses
that are made at once would all be free; a right one is taken back. Addresses without an account are counted just the
same. What the whole account has to wait for does not hold up an address that its owner has signed in from lately, so a
stranger who guesses on and on does not keep the owner out; a password reset forgets all attempts.
"""

from datetime import datetime, timedelta
from ipaddress import AddressValueError, IPv6Address, IPv6Network

from sqlalchemy.ext.asyncio import AsyncSession

from auth_svc import attempt_store, tokens
from auth_svc.attempt_store import EVERYWHERE, Limits
from auth_svc.caller import Caller
from auth_svc.models import User
from svckit.errors import ResourceExhausted
from svckit.statements import Driver

MEMORY = timedelta(hours=24)
"""After this long without an attempt, those before it do not count any more."""

# From a second up to a quarter of an hour.
_LIMITS = Limits(by_network=10, by_account=100, longest=900.0, memory=MEMORY)

_PREFIX = 64  # bits of an IPv6 address that one customer of a provider has


async def begin(driver: Driver, email_key: str, caller: Caller, *, now: datetime) -> User | None:
    """Count an attempt, if the transaction commits, and give whose it is.

    Raises ResourceExhausted (TOO_MANY_ATTEMPTS) if it comes too early.
    """
    account, network = tokens.digest(email_key), _network(caller.ip_address)
    counted = await attempt_store.count(driver, account, email_key, network=network, limits=_LIMITS, now=now)
    waiting = {network, EVERYWHERE} - counted.keys()
    if not waiting:
        return counted[network]
    blocked = await attempt_store.blocked_until(driver, account, list(waiting))
    if network in counted and await attempt_store.signed_in_from(driver, email_key, caller.ip_address):
        return counted[network]
    wait = max(blocked, default=now) - now  # somebody may have been right meanwhile
    message = "too many wrong passwords: wait a little"
    raise ResourceExhausted(message, reason="TOO_MANY_ATTEMPTS", retry_after=wait)


async def forgive(driver: Driver, email_key: str, caller: Caller) -> None:
    """The password was right: forget the network's attempts, and this one of the account's."""
    await attempt_store.forgive(driver, tokens.digest(email_key), network=_network(caller.ip_address))


async def forget_all(session: AsyncSession, email_key: str) -> None:
    """Whoever resets a password has shown who they are."""
    await attempt_store.forget_all(session, tokens.digest(email_key))


def _network(ip_address: str) -> str:
    """What one customer of a provider can choose addresses from: an IPv4 address, the first half of an IPv6 one."""
    try:
        address = IPv6Address(ip_address)
    except AddressValueError:
        return ip_address
    return str(address.ipv4_mapped or IPv6Network((address, _PREFIX), strict=False))
