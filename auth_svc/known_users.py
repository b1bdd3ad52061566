"""Accounts that were looked at lately, so that who is signed in is not asked of PostgreSQL for every page.

PostgreSQL says of every account that changes (a trigger notifies), and it is forgotten here at once. While nothing is
heard nothing is remembered. For showing only: what decides something reads the account itself.
"""

import time
from collections import OrderedDict

from auth_svc import user_store
from auth_svc.models import User
from svckit import postgres
from svckit.postgres import Database

_LONGEST = 60.0  # seconds, should a connection die without a word
_MOST = 10_000
_WAIT_SECONDS = 5.0


class KnownUsers:
    """One replica's memory."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[str, tuple[User, float]] = OrderedDict()
        self._hearing = False
        self._changes = 0

    async def find(self, user_id: str) -> User | None:
        user, until = self._known.get(user_id, (None, 0.0))
        if user is not None and time.monotonic() < until:
            return user
        before = self._changes
        async with self._database.transaction() as session:
            user = await user_store.find_user(session, user_id)
        # What changed while it was read may have been read before the change.
        if user is not None and self._hearing and self._changes == before:
            self._remember(user)
        return user

    def forget(self, user_id: str) -> None:
        """The account has changed: for whoever changed it and must not see it as it was."""
        self._changes += 1
        self._known.pop(user_id, None)

    async def run(self) -> None:
        """Hear of changes for ever. Raises when PostgreSQL goes away: run it again."""
        async with self._database.dedicated() as connection:
            driver = await postgres.listen(connection, user_store.USERS_CHANNEL)
            self._hearing = True
            try:
                while True:
                    async for notification in driver.notifies(timeout=_WAIT_SECONDS):
                        self.forget(notification.payload)
            finally:
                self._hearing = False
                self._known.clear()

    def _remember(self, user: User) -> None:
        self._known[user.id] = user, time.monotonic() + _LONGEST
        if len(self._known) > _MOST:
            self._known.popitem(last=False)
