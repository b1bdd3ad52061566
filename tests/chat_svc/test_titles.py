"""Titles by a model: better than the first words, never waited for, never over a title that somebody gave."""

import asyncio

import pytest
from chatmesh.events.v1 import events_pb2
from llmock.pytest_plugin import LLMock
from llmock.scenarios import Fail, Match, Reply, SlowFirstToken

from chat_svc.texts import title_in
from svckit.events import Bus
from tests.chat_svc.conftest import Start
from tests.chat_svc.plans import standing
from tests.chat_svc.test_events import facts
from tests.chat_svc.user import User, kinds
from tests.waiting import until

LONG = "word " * 150
# Who answers and who makes the titles, both of OpenAI.
ANSWERS, TITLES = Match(model="gpt-4.1-mini"), Match(model="gpt-6-luna")


async def titled(user: User, conversation_id: str, *, title: str) -> None:
    """Until the conversation has that title."""

    async def it_has() -> bool:
        return (await user.conversation(conversation_id)).title == title

    await until(it_has)


async def test_a_better_title_is_told_and_found_and_is_not_the_users_to_pay(
    start: Start, provider: LLMock, bus: Bus
) -> None:
    provider.add(Reply(text=LONG, match=ANSWERS), Reply(text='**Title: "Tides and\0 lighthouses."**', match=TITLES))
    provider.pace(20)
    async with start(titles_by_model=True) as replica:
        user = User(replica.stub)
        events = [event async for event in user.stream("why are there tides?", model="gpt-4.1-mini")]
        id_ = events[0].message_start.conversation_id
        used = await standing(user)
        found = await user.search("lighthouses")
        told = await facts(bus, user, count=5)

    answered = next(event.usage for event in events if event.HasField("usage"))
    metered = {fact.meter: fact for fact in told if isinstance(fact, events_pb2.UsageRecorded)}
    assert [event.title.title for event in events if event.HasField("title")] == [
        "why are there tides?",
        "Tides and lighthouses",
    ]
    assert kinds(events)[-1] == "message_end"
    assert [conversation.id for conversation in found.conversations] == [id_]
    assert used.tokens_used == answered.input_tokens + answered.output_tokens
    assert [each.model for each in used.models] == ["gpt-4.1-mini"]
    assert metered[events_pb2.METER_TOKENS].quantity == used.tokens_used
    assert metered[events_pb2.METER_TITLE_TOKENS].model == "gpt-6-luna"
    assert metered[events_pb2.METER_TITLE_TOKENS].quantity > 0


async def test_a_title_that_comes_late_holds_nothing_up_and_is_kept_unless_somebody_gave_one(
    start: Start, provider: LLMock
) -> None:
    late = Match(model="gpt-6-luna", stream=True)
    provider.add(SlowFirstToken(1.5, times=2, match=late), Reply(text="Late", times=2, match=TITLES))
    async with start(titles_by_model=True) as replica:
        user = User(replica.stub)
        mine = await user.send("one", model="gpt-4.1-mini")
        before = await user.conversation(mine.conversation_id)
        theirs = await user.send("two", model="gpt-4.1-mini")
        await user.update(mine.conversation_id, title="Mine")
        await titled(user, theirs.conversation_id, title="Late")
        after = await user.conversation(mine.conversation_id)

    assert (before.title, after.title) == ("one", "Mine")


async def test_without_a_title_the_first_words_stay_and_later_messages_ask_for_none(
    start: Start, provider: LLMock
) -> None:
    provider.add(Fail(400, match=TITLES, times=None))
    async with start(titles_by_model=True) as replica:
        user = User(replica.stub)
        sent = await user.send("one", model="gpt-4.1-mini")
        await user.send("two", conversation_id=sent.conversation_id)
        named = await user.create(title="Named", model="gpt-4.1-mini")
        await user.send("three", conversation_id=named.id)
        kept = await user.conversation(sent.conversation_id)
    asked = [request.model for request in await asyncio.to_thread(lambda: provider.requests)]

    assert kept.title == "one"
    assert asked.count("gpt-6-luna") == 1
    assert asked.count("gpt-4.1-mini") == 3


@pytest.mark.parametrize(
    ("answer", "title"),
    [
        ("Tides", "Tides"),
        ("\n\n# **Tides at night.**\nMore", "Tides at night"),
        ("“Gezeiten bei Nacht”", "Gezeiten bei Nacht"),
        ("Title: What's a tide?", "What's a tide?"),
        ("潮汐。", "潮汐"),
        ("word " * 30, "word word word word word word word word word word word word…"),
        (' "" ', ""),
    ],
)
def test_what_models_put_around_a_title_is_no_part_of_it(answer: str, title: str) -> None:
    assert title_in(answer) == title
