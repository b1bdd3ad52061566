"""How fast events come in: from the first publish until a report shows the last one, by how many come at once."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median

from chatmesh.analytics.v1 import analytics_pb2 as pb
from chatmesh.events.v1.events_pb2 import MessageSent

from bench import analytics_rig
from bench.analytics_rig import AnalyticsRig
from svckit import events
from svckit.events import Bus, Event
from svckit.ids import new_id
from svckit.local import LocalError

_SIZES = (10, 100, 1_000, 5_000, 20_000)
_SINGLE = 100
_RELAYED = 500
# Each measurement has a day of its own, after all that the reports are measured on.
_FIRST_DAY = datetime(2030, 1, 1, tzinfo=UTC)
_LOOK_SECONDS = 0.005
_PATIENCE_SECONDS = 120


async def section(folder: Path) -> str:
    """A table of bursts, and what a single event waits, on a service that begins without any."""
    async with (
        analytics_rig.running(folder / "home", clickhouse=folder / "clickhouse") as rig,
        events.connected(rig.nats_url, name="bench") as bus,
    ):
        await bus.jetstream()
        rows = []
        for number, size in enumerate(_SIZES):
            seconds = await _burst(rig, bus, size, day=_FIRST_DAY + timedelta(days=number))
            rows.append(f"| {size:,} | {seconds * 1000:,.0f} | {size / seconds:,.0f} |\n")
        day = _FIRST_DAY + timedelta(days=len(_SIZES))
        waits = sorted([await _single(rig, bus, number, day=day) for number in range(1, _SINGLE + 1)])
    head = "## Events coming in\n\n| events at once | until all are shown, ms | events/s |\n| ---: | ---: | ---: |\n"
    alone = (
        f"\nOne event alone is shown after {_ms(median(waits))} ms (p50), {_ms(waits[_SINGLE * 99 // 100])} ms (p99).\n"
    )
    return head + "".join(rows) + alone


async def _burst(rig: AnalyticsRig, bus: Bus, size: int, *, day: datetime) -> float:
    happened = [_message(day + timedelta(milliseconds=number)) for number in range(size)]
    started = time.perf_counter()
    await _publish(bus, happened)
    await _shown(rig, day.date(), size)
    return time.perf_counter() - started


async def _single(rig: AnalyticsRig, bus: Bus, number: int, *, day: datetime) -> float:
    event = _message(day + timedelta(seconds=number))
    started = time.perf_counter()
    await _publish(bus, [event])
    await _shown(rig, day.date(), number)
    return time.perf_counter() - started


async def _publish(bus: Bus, happened: Sequence[Event]) -> None:
    """So many at a time as a service's relay does."""
    for start in range(0, len(happened), _RELAYED):
        if any(await bus.publish_all(happened[start : start + _RELAYED])):
            raise LocalError("NATS did not take the events")


async def _shown(rig: AnalyticsRig, day: date, count: int) -> None:
    """Wait until the day's report has so many messages."""
    request = pb.GetChatActivityRequest(start_date=day.isoformat(), end_date=day.isoformat())
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            answer = await rig.stub.GetChatActivity(request, metadata=rig.metadata, timeout=60)
            if answer.data[0].messages == count:
                return
            await asyncio.sleep(_LOOK_SECONDS)


def _message(moment: datetime) -> Event:
    user = f"user-{moment.microsecond % 1000}"
    sent = MessageSent(
        user_id=user, conversation_id=user, message_id=new_id(), plan="free", provider="local", model="m"
    )
    return events.event(sent, source="bench", about=user, time=moment)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f}"
