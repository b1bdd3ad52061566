"""Hears of deleted accounts, whose customers buy nothing any more, and of what chat's work has used."""

from datetime import UTC, datetime

from chatmesh.events.v1.events_pb2 import UsageRecorded, UserDeleted
from sqlalchemy.ext.asyncio import AsyncSession

from billing_svc import metering, models, store
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
            subjects=[events.subject(UserDeleted), events.subject(UsageRecorded)],
            database=self._database,
            processed=models.processed,
            apply=_apply,
        )


async def _apply(session: AsyncSession, event: Event) -> None:
    if event.subject == events.subject(UsageRecorded):
        await metering.take(session, event)
    else:  # `closing` does the rest
        await store.mark_deleted(session, event.about, now=datetime.now(UTC))
