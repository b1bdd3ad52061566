"""Replicas that stop or die while they write: no answer stays open, and none is lost without a word."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

from chatmesh.chat.v1 import chat_pb2 as pb
from chatmesh.chat.v1.chat_pb2_grpc import ChatServiceStub
from llmock.pytest_plugin import LLMock
from redis.asyncio import Redis

from chat_svc import catalogue
from chat_svc.catalogue import Catalogue
from chat_svc.endings import Endings
from chat_svc.models import Generation, State
from chat_svc.settings import ChatSettings
from chat_svc.signals import Signals
from chat_svc.streams import Streams
from svckit import clients, postgres
from svckit.ids import new_id
from svckit.local import Engines
from tests.chat_svc.conftest import SERVICES, Replica, Start
from tests.chat_svc.processes import process_of
from tests.chat_svc.user import User, kinds, text
from tests.waiting import until

LONG = "word " * 2000


async def test_an_answer_whose_replica_is_killed_ends_with_a_visible_error_and_is_kept(
    settings: ChatSettings, other: Replica, provider: LLMock
) -> None:
    provider.reply(LONG).pace(20)
    async with process_of(settings) as (process, victim):
        start = await victim.begin()
        user = victim.at(other.stub)
        following = asyncio.create_task(user.resume(start.generation_id))
        while len((await user.generation(start.generation_id)).text) < 50:
            await asyncio.sleep(0.05)
        process.kill()
        killed = datetime.now(UTC)
        events = await following

    answer = (await user.messages(start.conversation_id)).messages[-1]
    end = (await user.generation(start.generation_id)).end_time.ToDatetime(tzinfo=UTC)
    assert end - killed < timedelta(seconds=30)  # six on a machine that has time
    assert [event.sequence for event in events] == list(range(len(events)))
    assert kinds(events) == ["message_start", "title", "delta", "usage", "error"]
    assert (events[-1].error.code, events[-1].error.retryable) == ("interrupted", True)
    assert (answer.state, answer.text) == (pb.STATE_FAILED, text(events))
    assert len(answer.text) >= 50
    assert answer.usage.estimated


async def test_a_replica_that_stops_lets_short_answers_finish(start: Start, provider: LLMock) -> None:
    provider.reply("word " * 30).pace(20)
    async with start() as replica:
        begun = await (user := User(replica.stub)).begin()
    async with start() as replica:
        generation = await user.at(replica.stub).generation(begun.generation_id)

    assert (generation.state, generation.text) == (pb.STATE_DONE, "word " * 30)


async def test_a_replica_that_stops_ends_long_answers_before_their_readers(
    start: Start, other: Replica, provider: LLMock
) -> None:
    provider.reply(LONG).pace(20)
    async with AsyncExitStack() as stack:
        async with start(stop_grace=4) as replica:
            channel = await stack.enter_async_context(clients.channel(replica.address, services=SERVICES))
            user = User(ChatServiceStub(channel))
            stream = user.stream()
            events = [await anext(stream)]
            reading = asyncio.create_task(_rest(stream))
        events += await reading

    answer = (await user.at(other.stub).messages(events[0].message_start.conversation_id)).messages[-1]
    assert events[-1].error.code == "interrupted"
    assert (answer.state, answer.text) == (pb.STATE_FAILED, text(events))


async def test_an_answer_whose_replica_died_before_it_told_anything_is_ended(
    user: User, settings: ChatSettings, redis: Redis
) -> None:
    answered = await user.send()
    offered = Catalogue(catalogue.read(), providers=["local"])
    streams = Streams(redis=redis, signals=Signals(redis))
    async with postgres.connected(str(settings.database_url), pool_size=1) as database:
        endings = Endings(database=database, streams=streams, catalogue=offered)
        # As a crash between the commit and the first event leaves it.
        async with database.transaction() as session:
            generation = await session.get_one(Generation, answered.message.generation_id)
            generation.state, generation.runner = State.RUNNING, new_id()
            generation.finish_reason = generation.ended_at = None
        await redis.delete(f"chat:gen:{generation.id}")

        await endings.abandon(generation)

    assert (await user.generation(generation.id)).state == pb.STATE_FAILED


async def _rest(stream: AsyncIterator[pb.GenerationEvent]) -> list[pb.GenerationEvent]:
    return [event async for event in stream]


async def test_an_answer_is_written_and_its_readers_wait_although_redis_was_away(
    user: User, other: Replica, engines: Engines, provider: LLMock
) -> None:
    assert engines.valkey is not None
    provider.reply(LONG[:1000]).pace(15)
    here = user.stream()
    begun = await anext(here)
    elsewhere = user.at(other.stub).stream_again(begun.message_start.generation_id)
    assert await anext(elsewhere) == begun
    reading = asyncio.gather(_rest(here), _rest(elsewhere))

    async def is_whole() -> bool:
        return (await user.messages(begun.message_start.conversation_id)).messages[-1].state == pb.STATE_DONE

    await engines.valkey.stop()
    await until(is_whole)
    await engines.valkey.start()
    events, same = await reading

    generation = await user.generation(begun.message_start.generation_id)
    assert generation.text == text(events) == LONG[:1000]
    assert kinds(events)[-1] == "message_end"
    assert [begun, *events] == [begun, *same] == await user.resume(generation.id)
