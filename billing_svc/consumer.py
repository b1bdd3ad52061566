"""Hears of deleted accounts, and notes that their customers buy nothing any more; `closing` does the rest."""

from datetime import UTC, datetime

from chatmesh.events.v1.events_pb2 import UserDeleted
from sqlalchemy.ext.asyncio import AsyncSession

from billing_svc import models, store
from svckit import events
from svckit.events import Bus, Event
from svckit.postgres import Database

_DURABLE = "billing"


class Consumer:
    """Applies each event once; replicas share the work."""

    def __init__(self, *, bus: Bus, database: Database) -> None:
        self._bus = bus
        self._database = database

    async def run(self) -> None:
        """Apply events for ever."""
        await events.consume(
            self._bus,
            durable=_DURABLE,
            subjects=[events.subject(UserDeleted)],
            database=self._database,
            processed=models.processed,
            apply=_apply,
        )


async def _apply(session: AsyncSession, event: Event) -> None:
    await store.mark_deleted(session, event.about, now=datetime.now(UTC))
