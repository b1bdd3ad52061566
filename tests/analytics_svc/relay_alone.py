"""A service's relay as a process that a test may kill."""

from multiprocessing.synchronize import Event

from sqlalchemy import MetaData

from svckit import events, postgres, process
from svckit.outbox import Relay, outbox_table

OUTBOX = outbox_table(MetaData(schema="facts"))


def run(ready: Event, database_url: str, nats_url: str) -> None:
    """Publish what stands in the outbox until the process ends; `ready` is set once it begins."""

    async def main() -> None:
        async with (
            postgres.connected(database_url) as database,
            events.connected(nats_url) as bus,
            process.background(Relay(database=database, table=OUTBOX, bus=bus).run),
        ):
            ready.set()
            await process.until_stopped()

    process.run(main, name="relay")
