"""`python -m analytics_svc rebuild`, `audit` and `forget`: ask the instance that counts to do it, and wait."""

import asyncio
import sys

from nats.js.errors import BucketNotFoundError
from nats.js.kv import KeyValue

from analytics_svc import position, upkeep
from analytics_svc.position import Fenced
from analytics_svc.settings import AnalyticsSettings
from analytics_svc.upkeep import DONE, WANTED, Task
from svckit import events

_LOOK_SECONDS = 0.2


async def ask(name: str, settings: AnalyticsSettings) -> int:
    """Show on stdout how it goes, after whatever is being done; the exit code."""
    async with events.connected(settings.nats_url, name=f"analytics-{name}") as bus:
        try:
            store = await position.bucket(await bus.jetstream())
        except BucketNotFoundError:
            sys.stderr.write("analytics: no service has counted anything yet\n")
            return 1
        await _want(store, name)
        task = await _ended(store)
    if task.state != DONE:
        sys.stderr.write(f"analytics: {task.said}\n")
    return 0 if task.state == DONE else 1


async def _want(store: KeyValue, name: str) -> None:
    while True:
        task = await _ended(store)
        _, revision = await upkeep.read(store)
        try:
            await upkeep.change(store, Task(name, WANTED, day=task.day), revision)
        except Fenced:  # somebody else asked at the same moment
            continue
        return


async def _ended(store: KeyValue) -> Task:
    """What was asked for last, once it is over; meanwhile, show what is said of it."""
    task, _ = await upkeep.read(store)
    while task.open:
        await asyncio.sleep(_LOOK_SECONDS)
        told = task.said
        task, _ = await upkeep.read(store)
        if task.said != told:
            sys.stdout.write(f"{task.said}\n")
            sys.stdout.flush()
    return task
