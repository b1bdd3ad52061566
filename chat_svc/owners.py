"""Owners of conversations: each one's changes take turns, and one whose account was deleted makes none any more."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from weakref import WeakValueDictionary

from sqlalchemy.ext.asyncio import AsyncSession

from chat_svc import attachment_store, store, usage_store
from svckit import postgres
from svckit.errors import Unauthenticated
from svckit.statements import Driver


class Turns:
    """Where the changes of each owner wait for one another on this replica, before they take a turn among all.

    Who waits here holds no connection to the database, so that one user's many sends leave some for everybody else's.
    """

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, owner_id: str) -> asyncio.Lock:
        """To be held from before the transaction until after it."""
        return self._locks.setdefault(owner_id, asyncio.Lock())


async def take_turn(driver: Driver, owner_id: str) -> None:
    """Let the owner's other sends wait until the transaction ends. Raises Unauthenticated when the account is deleted.

    A token that was good when its request came in may be a deleted account's by now.
    """
    await store.lock_owner(driver, owner_id)
    if await store.owner_is_deleted(driver, owner_id):
        raise Unauthenticated("the account is no more", reason="TOKEN_INVALID")


async def forget(session: AsyncSession, owner_id: str, *, now: datetime) -> Sequence[str]:
    """Delete all that the owner has, for good; the ids of generations that ran.

    No conversation's end is told: everybody hears of the account's, and would hear of the owner anew.
    """
    await store.lock_owner(await postgres.driver_of(session), owner_id)
    await store.add_deleted_owner(session, owner_id, now=now)
    running = await store.running_of(session, owner_id)
    await store.delete_conversations_of(session, owner_id)
    await attachment_store.delete_unused(session, owner_id)
    await usage_store.delete_usage_of(session, owner_id)
    return running
