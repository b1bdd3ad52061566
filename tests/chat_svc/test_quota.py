"""Tokens of a plan: held back, used, given back, and never more than there are."""

import asyncio
from datetime import UTC, datetime

import grpc
from chatmesh.chat.v1 import chat_pb2 as pb
from llmock.pytest_plugin import LLMock
from llmock.testing import LLMockServer

from chat_svc.models import Reservation
from chat_svc.settings import ChatSettings
from svckit import postgres
from svckit.errors import ResourceExhausted, ServiceError
from svckit.events import Bus
from svckit.ids import new_id
from svckit.rpc.status import received
from tests.callers import refusal
from tests.chat_svc.conftest import Replica
from tests.chat_svc.plans import START, grant, idle, standing
from tests.chat_svc.processes import process_of
from tests.chat_svc.user import User, ended, reached
from tests.waiting import until

LONG = "word " * 300


def tokens(usage: pb.TokenUsage) -> int:
    return usage.input_tokens + usage.output_tokens


async def leave_held_back(settings: ChatSettings, user: User) -> None:
    """As a replica that dies right after the conversation was deleted that it writes in."""
    left = Reservation(work_id=new_id(), owner_id=user.id, plan="pro", period_start=START, tokens=100, runner=new_id())
    async with (
        postgres.connected(str(settings.database_url), pool_size=1) as database,
        database.transaction() as session,
    ):
        session.add(left)


async def refused_send(user: User) -> ServiceError | None:
    """What a message is refused with, if it is."""
    try:
        await user.send()
    except grpc.aio.AioRpcError as error:
        return received(error)
    return None


async def test_what_was_used_is_told_in_all_and_by_model(user: User, other: Replica, provider: LLMock) -> None:
    first = await user.send("one", provider="openai")
    second = await user.send("two", provider="openai")
    again = await ended(
        user, (await user.regenerate(second.conversation_id, second.message.id, model="smollm2-135m")).id
    )
    provider.fail(400)
    await refusal(user.send("three"))

    now = await standing(user.at(other.stub))

    paid, free = (first.message.usage, second.message.usage), again.usage
    assert now.tokens_used == sum(map(tokens, (*paid, free)))
    assert now.cost_micros == sum(usage.cost_micros for usage in paid) > 0
    assert {(each.model, each.answers, tokens(each.usage)) for each in now.models} == {
        ("gpt-4.1-mini", 2, sum(map(tokens, paid))),
        ("smollm2-135m", 1, tokens(free)),
    }
    assert (now.tokens_reserved, now.generations_running) == (0, 0)


async def test_what_is_being_written_is_held_back_and_settled_when_it_is_cancelled(
    user: User, provider: LLMock
) -> None:
    provider.reply(LONG).pace(20)
    begun = await user.begin()

    async def has_text() -> bool:
        return bool((await user.generation(begun.generation_id)).text)

    await until(has_text)
    during = await standing(user)
    cancelled = await user.cancel(begun.generation_id)
    after = await standing(user)

    assert (during.generations_running, during.tokens_used) == (1, 0)
    assert during.tokens_reserved > 1_000
    assert (after.generations_running, after.tokens_reserved) == (0, 0)
    assert after.tokens_used == tokens(cancelled.usage) > 0


async def test_what_was_used_counts_although_the_conversation_is_deleted_meanwhile(
    user: User, provider: LLMock
) -> None:
    provider.reply(LONG).pace(20)
    begun = await user.begin()

    async def has_text() -> bool:
        return bool((await user.generation(begun.generation_id)).text)

    await until(has_text)
    await user.delete(begun.conversation_id)

    assert (await idle(user)).tokens_used > 0


async def test_a_plan_that_is_used_up_is_refused_with_the_figures_and_the_time_to_wait(
    user: User, other: Replica, bus: Bus, provider: LLMock
) -> None:
    await grant(bus, user, tokens=200)
    sent = await user.send(LONG[:200], idempotency_key="first")
    provider.reply("word " * 100)
    await user.send("x")
    longest = provider.last_request.body["max_completion_tokens"]

    error = await refusal(user.at(other.stub).send("x"))
    repeated = await user.send(LONG[:200], idempotency_key="first")

    now = await standing(user)
    reset = datetime.fromisoformat(error.metadata["reset_time"])
    assert isinstance(error, ResourceExhausted)
    assert (error.reason, error.metadata["limit"]) == ("QUOTA_EXCEEDED", "200")
    assert (error.metadata["used"], error.metadata["reserved"]) == (str(now.tokens_used), "0")
    assert reset == now.period_end_time.ToDatetime(tzinfo=UTC)
    assert error.retry_after is not None
    assert abs(datetime.now(UTC) + error.retry_after - reset).total_seconds() < 60
    assert longest < 200
    assert repeated == sent


async def test_answers_that_may_be_written_at_the_same_time_share_what_is_left(
    user: User, bus: Bus, provider: LLMock, llmock_server: LLMockServer
) -> None:
    await grant(bus, user, tokens=1_000)
    provider.slow_first_token(600, times=2)

    begun = [await user.begin("x"), await user.begin("x")]
    await reached(llmock_server, times=2)
    held = await standing(user)
    for start in begun:
        await user.cancel(start.generation_id)

    asked = sorted(request.body["max_completion_tokens"] for request in provider.requests)
    assert held.tokens_reserved <= 1_000
    assert 400 < asked[0] <= asked[1] < 600
    assert (await standing(user)).tokens_used == 0


async def test_a_plan_with_overage_goes_on(user: User, bus: Bus) -> None:
    await grant(bus, user, tokens=1, overage=True)

    await user.send()
    await user.send()

    assert (await standing(user)).tokens_used > 1


async def test_two_hundred_sends_at_once_never_pass_the_limit_nor_leave_anything_held_back(
    settings: ChatSettings, other: Replica, bus: Bus, provider: LLMock
) -> None:
    limit = 2_000
    provider.reply("word " * 40, times=None).pace(50)  # always fewer tokens than the fewest that are granted
    async with process_of(settings) as (process, victim):
        user = victim.at(other.stub)
        await grant(bus, user, tokens=limit, generations=None)
        sends = [asyncio.create_task(victim.begin()) for _ in range(100)]
        while not any(done.done() and not done.exception() for done in sends):
            await asyncio.sleep(0.01)
        sends += [asyncio.create_task(user.begin()) for _ in range(100)]
        full = await standing(user)
        process.kill()
        outcomes = await asyncio.gather(*sends, return_exceptions=True)
        await leave_held_back(settings, user)
        await idle(user)
        provider.pace(0)
        while (error := await refused_send(user)) is None:
            pass
        now = await idle(user)

    begun = [outcome for outcome in outcomes if isinstance(outcome, pb.MessageStart)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
    known = [await user.generation(start.generation_id) for start in begun]
    assert full.tokens_used + full.tokens_reserved <= limit
    assert len(begun) + len(refused) == 200
    assert error.reason == "QUOTA_EXCEEDED"
    assert pb.STATE_RUNNING not in {generation.state for generation in known}
    assert sum(tokens(generation.usage) for generation in known) <= now.tokens_used <= limit
