"""Hears of deleted accounts, and forgets what they wrote."""

from contextlib import suppress
from datetime import UTC, datetime

from chatmesh.events.v1.events_pb2 import UserDeleted
from sqlalchemy.ext.asyncio import AsyncSession

from chat_svc import models, owners
from chat_svc.generations import Generations
from svckit import events
from svckit.errors import Unavailable
from svckit.events import Bus, Event
from svckit.postgres import Database

_DURABLE = "chat"


class Consumer:
    """Applies each event once; replicas share the work."""

    def __init__(self, *, bus: Bus, database: Database, generations: Generations) -> None:
        self._bus = bus
        self._database = database
        self._generations = generations

    async def run(self) -> None:
        """Apply events for ever."""
        await events.consume(
            self._bus,
            durable=_DURABLE,
            subjects=[events.subject(UserDeleted)],
            database=self._database,
            processed=models.processed,
            apply=self._apply,
        )

    async def _apply(self, session: AsyncSession, event: Event) -> None:
        for generation_id in await owners.forget(session, event.about, now=datetime.now(UTC)):
            # Before the commit, so that a crash cannot come in between; nobody wants the answer whatever happens.
            with suppress(Unavailable):  # then it ends by itself, and nobody keeps what it writes
                await self._generations.ask_to_cancel(generation_id)
