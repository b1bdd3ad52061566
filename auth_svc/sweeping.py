"""Deletes what nobody needs any more, every hour: how long each thing is kept stands here."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog
from chatmesh.events.v1.events_pb2 import UserDeleted

from auth_svc import models, store, user_store
from auth_svc.clock import Clock
from auth_svc.models import ApiKey, Attempts, AuditEvent, Challenge, Ending, Mailing, MailToken, RefreshToken, Session
from auth_svc.store import Times
from svckit import events, outbox
from svckit.postgres import Database

log = structlog.get_logger(__name__)

_EVERY = timedelta(hours=1)
_BATCH = 5_000

# How long a row stays after the time in that column. Sessions stay a while after their end: see `attempts`.
_KEPT: Mapping[Times, timedelta] = {
    MailToken.expires_at: timedelta(0),
    RefreshToken.expires_at: timedelta(0),
    Challenge.expires_at: timedelta(0),
    Session.expires_at: timedelta(days=30),
    Session.revoked_at: timedelta(days=30),
    ApiKey.expires_at: timedelta(days=30),
    Ending.ended_at: timedelta(days=1),
    Mailing.written_at: timedelta(days=1),
    Attempts.last_at: timedelta(days=2),
    AuditEvent.created_at: timedelta(days=180),
}


# How long an address waits for its owner: it may be somebody's who never wanted an account.
_UNVERIFIED = timedelta(days=30)


class Sweeping:
    """Sweeps; replicas may do it at once."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def run(self) -> None:
        """Sweep for ever. Raises when PostgreSQL goes away: run it again."""
        while True:
            for column, kept in _KEPT.items():
                await self._sweep(column, self._clock() - kept)
            await self._forget_unverified()
            await asyncio.sleep(_EVERY.total_seconds())

    async def _sweep(self, column: Times, before: datetime) -> None:
        """Delete in small transactions, so that nothing waits long for one of them."""
        total, deleted = 0, _BATCH
        while deleted == _BATCH:
            async with self._database.transaction() as session:
                deleted = await store.delete_before(session, column, before, limit=_BATCH)
            total += deleted
        if total:
            log.info("swept", rows=total, older_by=str(column))

    async def _forget_unverified(self) -> None:
        """Delete accounts that nobody has ever signed in to, and tell the other services."""
        now, deleted = self._clock(), [""]
        while deleted:
            async with self._database.transaction() as session:
                deleted = await user_store.delete_unverified(session, now - _UNVERIFIED, limit=_BATCH)
                for user_id in deleted:
                    told = events.event(UserDeleted(user_id=user_id), source="auth", about=user_id, time=now)
                    await outbox.add(session, models.outbox, told)
