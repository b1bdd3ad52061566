"""Ends the payments and refunds that a crash left begun, and forgets first answers that are a day old."""

import asyncio
from datetime import UTC, datetime, timedelta

from billing_svc import payment_store
from billing_svc.paying import Paying
from billing_svc.refunding import Refunding
from svckit.postgres import Database

_EVERY = timedelta(minutes=1)
_ANSWERS_KEPT = timedelta(hours=24)


class Sweeping:
    """Sweeps; any number of replicas may, beside each other."""

    def __init__(self, *, database: Database, paying: Paying, refunding: Refunding) -> None:
        self._database = database
        self._paying = paying
        self._refunding = refunding

    async def run(self) -> None:
        """For ever: at once, and every minute."""
        grace = timedelta(0)
        while True:
            await self._paying.end_begun(older_than=grace)
            await self._refunding.end_begun(older_than=grace)
            async with self._database.transaction() as session:
                await payment_store.drop_answers(session, created_before=datetime.now(UTC) - _ANSWERS_KEPT)
            await asyncio.sleep(_EVERY.total_seconds())
            grace = _EVERY  # from now on whatever is younger is probably being worked on
