import asyncio
import dataclasses
from collections.abc import AsyncIterator

import pytest
from nats.js.api import StreamConfig

from svckit import events
from svckit.errors import Unavailable
from svckit.events import Bus, Event
from svckit.local import Supervised
from tests.waiting import until


@pytest.fixture
async def small_bus(nats: Supervised) -> AsyncIterator[Bus]:
    """A bus whose streams hold about ten events."""
    async with events.connected(nats.url, max_bytes=5000) as bus:
        yield bus


async def _stored(bus: Bus) -> int:
    jetstream = await bus.jetstream()
    return (await jetstream.stream_info(events.STREAM)).state.messages


async def _answers(bus: Bus) -> bool:
    try:
        await bus.ping()
    except Unavailable:
        return False
    return True


async def test_an_event_is_stored_as_a_cloud_event(bus: Bus, sent: Event) -> None:
    jetstream = await bus.jetstream()

    await bus.publish(sent)

    subscription = await jetstream.pull_subscribe("ev.>", stream=events.STREAM)
    [message] = await subscription.fetch(1)
    assert events.received(message) == sent
    assert message.headers is not None
    assert message.headers["ce-specversion"] == "1.0"
    assert message.headers["content-type"] == "application/protobuf"


async def test_an_event_that_is_published_twice_is_stored_once(bus: Bus, sent: Event) -> None:
    await bus.jetstream()

    await bus.publish(sent)
    await bus.publish(sent)

    assert await _stored(bus) == 1


async def test_a_full_stream_refuses_new_events_and_keeps_the_old(small_bus: Bus, sent: Event) -> None:
    await small_bus.jetstream()
    many = [dataclasses.replace(sent, id=str(number)) for number in range(20)]

    failures = await small_bus.publish_all(many)

    stored = [failure for failure in failures if failure is None]
    assert 0 < len(stored) < len(many)
    assert await _stored(small_bus) == len(stored)
    with pytest.raises(Unavailable, match="maximum bytes exceeded"):
        await small_bus.publish(many[-1])


async def test_streams_that_are_there_stay_as_their_operator_wants_them(nats: Supervised) -> None:
    async with events.connected(nats.url) as bus:
        jetstream = await bus.jetstream()
        await jetstream.update_stream(StreamConfig(name=events.STREAM, subjects=["ev.>"], max_msgs=7))
    async with events.connected(nats.url) as bus:
        jetstream = await bus.jetstream()

        assert (await jetstream.stream_info(events.STREAM)).config.max_msgs == 7


async def test_a_bus_says_that_nats_is_away_and_finds_it_when_it_is_back(
    nats: Supervised, bus: Bus, sent: Event
) -> None:
    await bus.jetstream()
    await nats.kill()

    with pytest.raises(Unavailable):
        await bus.ping()
    with pytest.raises(Unavailable):
        await bus.publish(sent)

    await nats.start()
    await until(lambda: _answers(bus))
    await bus.publish(sent)
    assert await _stored(bus) == 1


async def test_a_process_can_start_before_nats_does(nats: Supervised) -> None:
    await nats.kill()
    async with events.connected(nats.url) as bus:
        with pytest.raises(Unavailable, match="NATS is not available"):
            await bus.ping()
        await nats.start()

        await bus.jetstream()
        await bus.ping()


async def test_wrong_credentials_are_tried_again_and_never_let_in(nats: Supervised) -> None:
    async with events.connected(nats.url.replace("mesh:", "stranger:")) as bus:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await bus.jetstream()


async def test_a_dead_letter_says_where_it_was_and_why(bus: Bus, sent: Event) -> None:
    jetstream = await bus.jetstream()
    await bus.publish(sent)
    subscription = await jetstream.pull_subscribe("ev.>", stream=events.STREAM)
    [message] = await subscription.fetch(1)

    await bus.dead_letter(message, durable="mailer", reason="first line\r\nsecond: ü\n")
    await bus.dead_letter(message, durable="mailer", reason="again")

    letters = await jetstream.pull_subscribe("dlq.mailer", stream=events.DEAD_LETTERS)
    [letter] = await letters.fetch(5)
    assert letter.data == sent.data
    assert letter.headers is not None
    assert letter.headers["ce-id"] == sent.id
    assert letter.headers["dlq-reason"] == "first line second: ü"
    assert letter.headers["dlq-subject"] == sent.subject
    assert letter.headers["dlq-sequence"] == "1"
