"""Hears of deleted accounts, and forgets what they wrote; and of what users may use."""

from contextlib import suppress
from datetime import UTC, datetime

from chatmesh.events.v1.events_pb2 import EntitlementsChanged, UserDeleted
from sqlalchemy.ext.asyncio import AsyncSession

from chat_svc import entitlements, models, owners
from chat_svc.generations import Generations
from svckit import events
from svckit.errors import Unavailable
from svckit.events import Bus, Event
from svckit.postgres import Database

_ACCOUNTS = "chat"
_ENTITLEMENTS = "chat_entitlements"


class Consumer:
    """Applies each event once; replicas share the work."""

    def __init__(self, *, bus: Bus, database: Database, generations: Generations) -> None:
        self._bus = bus
        self._database = database
        self._generations = generations

    async def hear_of_deleted_accounts(self) -> None:
        """Apply them for ever."""
        await events.consume(
            self._bus,
            durable=_ACCOUNTS,
            subjects=[events.subject(UserDeleted)],
            database=self._database,
            processed=models.processed,
            apply=self._forget,
        )

    async def hear_of_entitlements(self) -> None:
        """Apply them for ever."""
        await events.consume(
            self._bus,
            durable=_ENTITLEMENTS,
            subjects=[events.subject(EntitlementsChanged)],
            database=self._database,
            processed=models.processed,
            apply=_keep,
        )

    async def _forget(self, session: AsyncSession, event: Event) -> None:
        for generation_id in await owners.forget(session, event.about, now=datetime.now(UTC)):
            # Before the commit, so that a crash cannot come in between; nobody wants the answer whatever happens.
            with suppress(Unavailable):  # then it ends by itself, and nobody keeps what it writes
                await self._generations.ask_to_cancel(generation_id)


async def _keep(session: AsyncSession, event: Event) -> None:
    if isinstance(told := events.unpack(event), EntitlementsChanged):
        await entitlements.keep(session, told)
