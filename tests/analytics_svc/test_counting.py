"""Every event counts once: whatever comes twice, late, broken or not at all, and whoever else is counting."""

import asyncio
import json
import random
from dataclasses import replace
from datetime import date
from typing import Any, cast

from chatmesh.events.v1.events_pb2 import SubscriptionChanged
from nats.js import JetStreamContext
from nats.js.errors import BucketNotFoundError, KeyNotFoundError

from svckit.errors import Unavailable
from svckit.events import DEAD_LETTERS, STREAM, Bus, Event
from svckit.local import Engines, Supervised
from tests.analytics_svc import facts
from tests.analytics_svc.analyst import Analytics, days, eventually

# Number 2000, a text: nothing of this version has it.
_UNKNOWN_FIELD = b"\x82\x7d\x05newer"


async def test_an_event_that_is_published_twice_counts_once(bus: Bus, analytics: Analytics) -> None:
    event = facts.message("2022-01-01T10:00")
    for published in (event, event, facts.message("2022-01-01T11:00")):
        await bus.publish(published)

    await eventually(lambda: messages(analytics, date(2022, 1, 1)), 2)


async def test_a_copy_that_the_stream_does_not_recognise_counts_once(bus: Bus, analytics: Analytics) -> None:
    # As after the two hours in which the stream knows its messages' ids.
    event = facts.message("2022-01-02T10:00")
    await bus.publish(event)
    await eventually(lambda: messages(analytics, date(2022, 1, 2)), 1)
    jetstream = await bus.jetstream()
    for _ in range(2):
        await publish_without_id(jetstream, event)
    await bus.publish(facts.message("2022-01-02T11:00"))

    await eventually(lambda: messages(analytics, date(2022, 1, 2)), 2)


async def test_copies_in_one_batch_count_once(bus: Bus, analytics: Analytics) -> None:
    jetstream = await bus.jetstream()
    event = facts.message("2022-01-03T10:00")
    await asyncio.gather(*(publish_without_id(jetstream, event) for _ in range(20)))
    await bus.publish(facts.message("2022-01-03T11:00"))

    await eventually(lambda: messages(analytics, date(2022, 1, 3)), 2)


async def test_events_count_where_they_belong_in_whatever_order_they_come(bus: Bus, analytics: Analytics) -> None:
    moments = facts.quarter_hours(facts.at("2022-01-10T00:00"), 96 * 3)
    random.Random(7).shuffle(moments)
    for moment in moments:
        await bus.publish(facts.message(moment))

    async def by_day() -> list[int]:
        response = await analytics.chat(**days(date(2022, 1, 9), date(2022, 1, 13)))
        return [row.messages for row in response.data]

    await eventually(by_day, [0, 96, 96, 96, 0])


async def test_what_cannot_be_read_is_put_away_and_blocks_nothing(bus: Bus, analytics: Analytics) -> None:
    jetstream = await bus.jetstream()
    before = (await jetstream.stream_info(DEAD_LETTERS)).state.messages
    good = facts.message("2022-01-20T10:00")
    broken = [
        {},  # no attributes
        attributes(good) | {"ce-type": "chatmesh.events.v1.NotYetInvented"},
        attributes(good) | {"ce-time": "yesterday"},
        attributes(good) | {"ce-time": "1066-10-14T09:00:00+00:00"},
    ]
    for headers in broken:
        await jetstream.publish("ev.chat.message.sent", good.data, headers=headers)
    await jetstream.publish("ev.chat.message.sent", b"\xff\xff", headers=attributes(good))
    await bus.publish(good)

    await eventually(lambda: messages(analytics, date(2022, 1, 20)), 1)
    assert (await jetstream.stream_info(DEAD_LETTERS)).state.messages == before + 5


async def test_fields_and_values_of_a_newer_version_are_passed_over(bus: Bus, analytics: Analytics) -> None:
    newer = facts.message("2022-01-19T10:00")
    await bus.publish(replace(newer, data=newer.data + _UNKNOWN_FIELD))
    change = facts.mrr_change("2022-01-19T11:00", "newer", 0, 700, currency="NOK")
    unknown_status = SubscriptionChanged.FromString(change.data)
    unknown_status.status = cast("Any", 99)
    await bus.publish(replace(change, data=unknown_status.SerializeToString() + _UNKNOWN_FIELD))
    await bus.publish(facts.message("2022-01-19T12:00"))

    await eventually(lambda: messages(analytics, date(2022, 1, 19)), 2)


async def test_what_the_stream_has_lost_is_passed_over(bus: Bus, analytics: Analytics, service: Supervised) -> None:
    jetstream = await bus.jetstream()
    await service.stop()
    for hour in range(10):
        await bus.publish(facts.message(f"2022-01-21T{hour:02}:00"))
    last = (await jetstream.stream_info(STREAM)).state.last_seq
    await jetstream.delete_msg(STREAM, last - 2)
    await jetstream.purge_stream(STREAM, seq=last - 5)
    await service.start()

    await eventually(lambda: messages(analytics, date(2022, 1, 21)), 5)


async def test_a_batch_that_another_instance_began_is_finished(bus: Bus, analytics: Analytics) -> None:
    # Another instance announces a batch and dies. Ours notices with its next one, steps back, and takes over.
    jetstream = await bus.jetstream()
    await eventually(lambda: all_counted(jetstream), True)
    done = (await record(jetstream))[0]["done"]

    # One of an older version, which knows nothing of blocks.
    await overwrite(jetstream, first=done + 1, last=done + 2, blocks=None)
    for hour in (10, 11, 12):
        await bus.publish(facts.message(f"2022-01-22T{hour}:00"))

    await eventually(lambda: messages(analytics, date(2022, 1, 22)), 3)


async def test_what_another_instance_has_counted_is_not_counted_again(bus: Bus, analytics: Analytics) -> None:
    # Another instance says that it counted the next event; as it did not, that one is missing here.
    jetstream = await bus.jetstream()
    await eventually(lambda: all_counted(jetstream), True)
    done = (await record(jetstream))[0]["done"]

    await overwrite(jetstream, done=done + 1, first=done + 1, last=done + 1)
    for hour in (10, 11, 12):
        await bus.publish(facts.message(f"2022-01-23T{hour}:00"))

    await eventually(lambda: messages(analytics, date(2022, 1, 23)), 2)
    assert await all_counted(jetstream)


async def test_nats_may_go_and_come_back(bus: Bus, own_engines: Engines, analytics: Analytics) -> None:
    assert own_engines.nats is not None
    await bus.publish(facts.message("2022-01-24T10:00"))
    await own_engines.nats.kill()
    await own_engines.nats.start()
    await bus.jetstream()
    await eventually(lambda: published(bus, facts.message("2022-01-24T11:00")), True)

    await eventually(lambda: messages(analytics, date(2022, 1, 24)), 2)


def attributes(event: Event) -> dict[str, str]:
    """An event's headers but the one that the stream recognises copies by."""
    return {
        "ce-id": event.id,
        "ce-type": event.type,
        "ce-source": event.source,
        "ce-subject": event.about,
        "ce-time": event.time.isoformat(),
    }


async def publish_without_id(jetstream: JetStreamContext, event: Event) -> None:
    await jetstream.publish(event.subject, event.data, headers=attributes(event))


async def published(bus: Bus, event: Event) -> bool:
    try:
        await bus.publish(event)
    except Unavailable:
        return False
    return True


async def messages(analytics: Analytics, day: date) -> int:
    return (await analytics.chat(**days(day))).data[0].messages


async def record(jetstream: JetStreamContext) -> tuple[dict[str, Any], int]:
    """How far the stream is counted, as the service keeps it, and the number of that version."""
    try:
        entry = await (await jetstream.key_value("analytics")).get(STREAM)
    except (BucketNotFoundError, KeyNotFoundError):
        return {"done": 0, "last": 0}, 0
    return json.loads(entry.value or b"{}"), entry.revision or 0


async def overwrite(jetstream: JetStreamContext, **fields: int | dict[str, int] | None) -> None:
    """Change the record as another instance would."""
    kept, revision = await record(jetstream)
    changed = json.dumps({**kept, "owner": "another", **fields}).encode()
    await (await jetstream.key_value("analytics")).update(STREAM, changed, last=revision)


async def all_counted(jetstream: JetStreamContext) -> bool:
    kept, _ = await record(jetstream)
    return bool(kept["done"] >= (await jetstream.stream_info(STREAM)).state.last_seq)
