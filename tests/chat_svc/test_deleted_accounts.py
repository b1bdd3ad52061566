"""What becomes of conversations when auth tells that an account was deleted."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime

import grpc
from chatmesh.chat.v1 import chat_pb2 as pb
from chatmesh.events.v1.events_pb2 import UserDeleted
from llmock.pytest_plugin import LLMock

from svckit import events
from svckit.errors import NotFound, Unauthenticated
from svckit.events import Bus
from svckit.rpc.status import received
from tests.callers import refusal
from tests.chat_svc.user import User
from tests.waiting import until


async def delete_account(bus: Bus, user: User) -> None:
    """As auth tells it, and until chat has heard."""
    told = events.event(UserDeleted(user_id=user.id), source="auth", about=user.id, time=datetime.now(UTC))
    await bus.publish(told)

    async def heard() -> bool:
        try:
            await user.create()
        except grpc.aio.AioRpcError as error:
            return isinstance(received(error), Unauthenticated)
        return False

    await until(heard)


async def test_everything_that_the_user_wrote_is_gone_and_nothing_of_others(
    user: User, stranger: User, bus: Bus
) -> None:
    sent, kept = await user.send(), await stranger.send()

    await delete_account(bus, user)

    assert not (await user.conversations()).conversations
    assert isinstance(await refusal(user.messages(sent.conversation_id)), NotFound)
    assert isinstance(await refusal(user.generation(sent.message.generation_id)), NotFound)
    assert len((await stranger.messages(kept.conversation_id)).messages) == 2


async def test_a_token_that_is_still_good_makes_nothing_new(user: User, bus: Bus) -> None:
    await delete_account(bus, user)

    created, sent = await refusal(user.create()), await refusal(user.send())

    assert {(type(error), error.reason) for error in (created, sent)} == {(Unauthenticated, "TOKEN_INVALID")}


async def test_an_answer_that_is_being_written_is_stopped_at_the_provider(
    user: User, bus: Bus, provider: LLMock
) -> None:
    provider.reply("word " * 500).pace(20)
    async with aclosing(user.stream()) as answer:
        while not (await anext(answer)).HasField("delta"):
            pass

        await delete_account(bus, user)

    (request,) = await asyncio.to_thread(lambda: provider.requests)
    assert not request.completed
    assert not (await user.stub.ListConversations(pb.ListConversationsRequest(), metadata=user.metadata)).conversations
