"""The facts that chat tells the other services: each once, by way of its outbox."""

from collections.abc import AsyncIterator, Callable

from chatmesh.events.v1 import events_pb2
from google.protobuf.message import Message
from llmock.pytest_plugin import LLMock
from nats.js.api import ConsumerConfig, DeliverPolicy

from svckit import events
from tests.callers import refusal
from tests.chat_svc.user import User
from tests.waiting import PATIENCE

Hear = Callable[[int], AsyncIterator[Message]]


async def facts(bus: events.Bus, user: User, *, count: int) -> list[Message]:
    """The first facts about that user, in order."""
    found: list[Message] = []
    jetstream = await bus.jetstream()
    config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
    subscription = await jetstream.subscribe("ev.chat.>", stream=events.STREAM, config=config, ordered_consumer=True)
    while len(found) < count:
        event = events.received(await subscription.next_msg(timeout=PATIENCE))
        if event.about == user.id:
            found.append(events.unpack(event))
    await subscription.unsubscribe()
    return found


async def test_a_whole_answer_is_told_from_its_conversation_to_its_usage(
    user: User, bus: events.Bus, provider: LLMock
) -> None:
    provider.reply("one two three")
    sent = await user.send("what?", model="gpt-4.1-mini")

    created, message, completion = await facts(bus, user, count=3)

    usage = sent.message.usage
    ids = {"user_id": user.id, "conversation_id": sent.conversation_id, "plan": "free"}
    named = {"provider": "openai", "model": "gpt-4.1-mini"}
    assert created == events_pb2.ConversationCreated(**ids)
    assert message == events_pb2.MessageSent(**ids, **named, message_id=sent.user_message_id)
    assert isinstance(completion, events_pb2.CompletionSucceeded)
    assert completion.generation_id == sent.message.generation_id
    assert completion.message_id == sent.message.id
    assert (completion.usage.tokens_in, completion.usage.tokens_out) == (usage.input_tokens, usage.output_tokens)
    assert completion.usage.cost_micros == usage.cost_micros > 0
    assert completion.usage.price_version
    assert 0 <= completion.ttft_ms <= completion.latency_ms


async def test_a_failed_answer_is_told_with_its_code(user: User, bus: events.Bus, provider: LLMock) -> None:
    provider.fail(500, times=None, retry_after=0)
    await refusal(user.send())

    *_, completion = await facts(bus, user, count=3)

    assert isinstance(completion, events_pb2.CompletionFailed)
    assert completion.error_code == "upstream_unavailable"
    assert not completion.HasField("ttft_ms")
    assert completion.usage == events_pb2.Usage()


async def test_a_cancelled_answer_and_a_deleted_conversation_are_told(
    user: User, bus: events.Bus, provider: LLMock
) -> None:
    provider.slow_first_token(600)
    start = await user.begin()
    await user.cancel(start.generation_id)
    await user.delete(start.conversation_id)

    *_, completion, deleted = await facts(bus, user, count=4)

    assert isinstance(completion, events_pb2.CompletionCancelled)
    assert deleted == events_pb2.ConversationDeleted(
        user_id=user.id, conversation_id=start.conversation_id, plan="free"
    )


async def test_the_local_model_costs_nothing(user: User, bus: events.Bus) -> None:
    await user.send()

    *_, completion = await facts(bus, user, count=3)

    assert isinstance(completion, events_pb2.CompletionSucceeded)
    assert (completion.usage.cost_micros, completion.usage.price_version) == (0, "")
