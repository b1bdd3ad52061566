"""Fills the mesh with made-up events, a year of them, by the way that all events take: JetStream, then analytics."""

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO

import aiohttp
from nats.js import JetStreamContext
from nats.js.api import KeyValueConfig
from nats.js.errors import BucketNotFoundError, KeyNotFoundError
from nats.js.kv import KeyValue

from mesh import state
from mesh.demo import YEAR, Story
from mesh.processes import ADMIN_OFFSET
from svckit import events
from svckit.events import Bus, Event
from svckit.local import LocalError

_BUCKET, _KEY = "demo", "seeded"
_AT_ONCE = 500
_ATTEMPTS = 5
_PAUSE_SECONDS = 0.5
_PATIENCE_SECONDS = 600
_BACKLOG = re.compile(r"^analytics_backlog_events (\S+)$", re.MULTILINE)


async def run(*, days: int, again: bool, given: Mapping[str, str], folder: Path, output: TextIO) -> None:
    """Publish the days up to now, and wait until they are counted.

    Raises LocalError in production, when no mesh runs, and when it was done before, unless `again`, which adds
    another, different story.
    """
    told = {**given, **({} if given.get("NATS_URL") else state.of_running(folder, instead="NATS_URL"))}
    if told.get("CHATMESH_ENV") == "production":
        raise LocalError("seed-demo makes things up: it does not run with CHATMESH_ENV=production")
    if not 1 <= days <= YEAR:
        raise LocalError(f"--days: from 1 to {YEAR}")
    async with events.connected(told["NATS_URL"], name="seed-demo") as bus:
        jetstream = await bus.jetstream()
        store = await _store(jetstream)
        times = await _times(store)
        if times and not again:
            raise LocalError("the demo is there already; --again adds another one to it")
        # Before the first event: whoever stops in between has a part of it, and is told so.
        await store.put(_KEY, str(times + 1).encode())
        await _publish(bus, Story(end=_end_of_today(), days=days, seed=times + 1), output)
    await _until_counted(told, output)


async def _publish(bus: Bus, story: Story, output: TextIO) -> None:
    total, month, of_month, waiting = 0, "", 0, list[Event]()
    now = datetime.now(UTC)
    for day, planned in story.days():
        happened = [event for event in planned if event.time <= now]
        if (begun := f"{day:%B %Y}") != month:
            _show(output, month, of_month)
            month, of_month = begun, 0
        of_month += len(happened)
        total += len(happened)
        waiting += happened
        while len(waiting) >= _AT_ONCE:
            await _stored(bus, waiting[:_AT_ONCE])
            del waiting[:_AT_ONCE]
    await _stored(bus, waiting)
    _show(output, month, of_month)
    output.write(f"{total:,} events are published\n")


async def _stored(bus: Bus, batch: list[Event]) -> None:
    """Publish again what was not stored: the stream knows those that were."""
    for _ in range(_ATTEMPTS):
        failures = await bus.publish_all(batch)
        batch = [event for event, failure in zip(batch, failures, strict=True) if failure]
        if not batch:
            return
        await asyncio.sleep(_PAUSE_SECONDS)
    raise LocalError(f"NATS does not take the events: {next(failure for failure in failures if failure)}")


def _show(output: TextIO, month: str, count: int) -> None:
    if month:
        output.write(f"  {month:<15} {count:>6,} events\n")
        output.flush()


async def _until_counted(told: Mapping[str, str], output: TextIO) -> None:
    """Follow the backlog that analytics shows of itself, if it can be seen from here."""
    host, _, port = told.get("ANALYTICS_SERVICE_URL", "127.0.0.1:3004").rpartition(":")
    url = f"http://{host.removeprefix('dns:///')}:{int(port) + ADMIN_OFFSET}/metrics"
    shown = -1
    async with aiohttp.ClientSession() as http, asyncio.timeout(_PATIENCE_SECONDS):
        while (waiting := await _backlog(http, url)) != 0:
            if waiting is None:
                output.write("analytics counts them as soon as it runs\n")
                return
            if waiting != shown:
                output.write(f"  {waiting:,} wait to be counted\n")
                output.flush()
            shown = waiting
            await asyncio.sleep(_PAUSE_SECONDS)
    output.write("all are counted: see /console/analytics\n")


async def _backlog(http: aiohttp.ClientSession, url: str) -> int | None:
    try:
        async with http.get(url) as answer:
            found = _BACKLOG.search(await answer.text())
    except aiohttp.ClientError:
        return None
    return int(float(found[1])) if found else None


async def _store(jetstream: JetStreamContext) -> KeyValue:
    try:
        return await jetstream.key_value(_BUCKET)
    except BucketNotFoundError:
        return await jetstream.create_key_value(KeyValueConfig(bucket=_BUCKET))


async def _times(store: KeyValue) -> int:
    """How often it was done."""
    try:
        return int((await store.get(_KEY)).value or b"0")
    except KeyNotFoundError:
        return 0


def _end_of_today() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
