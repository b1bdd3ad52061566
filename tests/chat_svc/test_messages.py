"""Messages: the tree of them, its active branch in pages, and what of it a model is asked."""

import asyncio
from typing import Any

from chatmesh.chat.v1 import chat_pb2 as pb
from llmock.pytest_plugin import LLMock

from svckit.errors import InvalidArgument, NotFound
from svckit.ids import new_id
from tests.callers import refusal
from tests.chat_svc.conftest import Replica
from tests.chat_svc.user import User, asked


async def talk(user: User, turns: int) -> tuple[str, list[str]]:
    """A conversation of that many questions and answers; its id and its messages' ids in order."""
    conversation_id, ids = "", []
    for number in range(turns):
        answered = await user.send(f"question {number}", conversation_id=conversation_id)
        conversation_id = answered.conversation_id
        ids += [answered.user_message_id, answered.message.id]
    return conversation_id, ids


async def pages(user: User, conversation_id: str, *, most: int = 100, **more: Any) -> list[list[str]]:
    """The ids of each page's messages, of the first `most` pages."""
    found: list[list[str]] = []
    token = ""
    while (not found or token) and len(found) < most:
        page = await user.messages(conversation_id, page_token=token, **more)
        found.append([message.id for message in page.messages])
        token = page.next_page_token
    return found


async def test_messages_are_listed_oldest_first_in_pages(user: User) -> None:
    conversation_id, ids = await talk(user, 3)

    assert await pages(user, conversation_id, page_size=4) == [ids[:4], ids[4:]]


async def test_messages_are_listed_newest_first_in_pages(user: User) -> None:
    conversation_id, ids = await talk(user, 3)
    ids.reverse()

    assert await pages(user, conversation_id, page_size=2, newest_first=True) == [ids[:2], ids[2:4], ids[4:]]


async def test_a_conversation_without_messages_has_an_empty_page(user: User) -> None:
    made = await user.create()

    assert await user.messages(made.id) == pb.ListMessagesResponse()


async def test_an_older_parent_starts_a_branch_and_the_new_branch_is_the_active_one(user: User) -> None:
    conversation_id, ids = await talk(user, 2)

    answered = await user.send("another way", conversation_id=conversation_id, parent_id=ids[1])

    branch = [*ids[:2], answered.user_message_id, answered.message.id]
    assert await pages(user, conversation_id) == [branch]
    assert (await user.conversation(conversation_id)).active_message_id == answered.message.id


async def test_pages_stay_on_the_branch_that_they_began_with(user: User) -> None:
    conversation_id, ids = await talk(user, 3)
    first = await user.messages(conversation_id, page_size=4)
    await user.send("another way", conversation_id=conversation_id, parent_id=ids[1])

    second = await user.messages(conversation_id, page_size=4, page_token=first.next_page_token)

    assert [message.id for message in second.messages] == ids[4:]


async def test_a_parent_of_another_conversation_is_not_found(user: User) -> None:
    _, ids = await talk(user, 1)
    made = await user.create()

    for parent_id in (ids[1], new_id()):
        assert isinstance(await refusal(user.send(conversation_id=made.id, parent_id=parent_id)), NotFound)


async def test_messages_that_are_sent_at_once_end_up_one_below_the_other(user: User, other: Replica) -> None:
    made = await user.create()

    await asyncio.gather(
        user.send("one", conversation_id=made.id), user.at(other.stub).send("two", conversation_id=made.id)
    )

    messages = (await user.messages(made.id)).messages
    assert {messages[0].text, messages[2].text} == {"one", "two"}
    assert [message.parent_id for message in messages] == ["", *(message.id for message in messages[:-1])]


async def test_the_model_is_asked_with_the_system_prompt_and_the_branch(user: User, provider: LLMock) -> None:
    provider.reply("blue")
    made = await user.create(system_prompt="Be brief.")
    await user.send("colour?", conversation_id=made.id)
    await user.send("and why?", conversation_id=made.id)

    assert asked(provider) == [
        ("system", "Be brief."),
        ("user", "colour?"),
        ("assistant", "blue"),
        ("user", "and why?"),
    ]


async def test_what_does_not_fit_the_window_is_left_out_oldest_first(user: User, provider: LLMock) -> None:
    made = await user.create(system_prompt="Be brief.")
    for number in range(3):
        provider.reply("short")
        await user.send(f"{number}" * 9_000, conversation_id=made.id)

    assert [(role, text[:1]) for role, text in asked(provider)] == [
        ("system", "B"),
        ("user", "1"),
        ("assistant", "s"),
        ("user", "2"),
    ]


async def test_a_long_message_is_asked_alone_but_for_the_system_prompt(user: User, provider: LLMock) -> None:
    made = await user.create(system_prompt="Be brief.")
    await user.send("small", conversation_id=made.id)

    events = [event async for event in user.stream("x" * 30_000, conversation_id=made.id)]

    assert [role for role, _ in asked(provider)] == ["system", "user"]
    assert events[0].message_start.omitted_messages == 2


async def test_a_message_that_cannot_fit_is_refused_before_a_model_is_asked(user: User, provider: LLMock) -> None:
    made = await user.create()

    error = await refusal(user.send("x" * 100_000, conversation_id=made.id))

    assert isinstance(error, InvalidArgument)
    assert (error.reason, error.violations[0].field) == ("CONTEXT_OVERFLOW", "message")
    assert not provider.requests
    assert not (await user.messages(made.id)).messages


async def test_a_message_longer_than_the_limit_is_refused_with_the_limit_named(user: User) -> None:
    error = await refusal(user.send("x" * 100_001))

    assert isinstance(error, InvalidArgument)
    assert "100000" in error.violations[0].description.replace(",", "")
