"""The counting half of the analytics service as a process that a test may kill."""

from multiprocessing.synchronize import Event

from analytics_svc import clickhouse, schema
from analytics_svc.consumer import Consumer
from analytics_svc.nightly import Nightly
from analytics_svc.upkeep import Upkeep
from svckit import events, process

NIGHTLY = Nightly.parse("03:00")


def run(ready: Event, clickhouse_url: str, nats_url: str) -> None:
    """Count events until the process ends; `ready` is set once it begins."""

    async def main() -> None:
        async with clickhouse.connected(clickhouse_url) as warehouse, events.connected(nats_url) as bus:
            await schema.migrate(warehouse)
            consumer = Consumer(bus=bus, clickhouse=warehouse, upkeep=Upkeep(warehouse, nightly=NIGHTLY))
            async with process.background(consumer.run):
                ready.set()
                await process.until_stopped()

    process.run(main, name="consumer")
