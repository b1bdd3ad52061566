"""Editing a question and having an answer written anew: siblings in the tree, of which the newest is the active one."""

import asyncio

import pytest
from chatmesh.chat.v1 import chat_pb2 as pb
from llmock.pytest_plugin import LLMock
from llmock.testing import LLMockServer

from svckit.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from svckit.ids import new_id
from tests.callers import refusal
from tests.chat_svc.conftest import Replica
from tests.chat_svc.user import User, asked, ended, kinds, reached


async def branch(user: User, conversation_id: str) -> list[pb.Message]:
    return list((await user.messages(conversation_id)).messages)


async def test_a_new_answer_stands_beside_the_old_one_and_is_the_active_one(user: User, provider: LLMock) -> None:
    provider.reply("red")
    sent = await user.send("colour?")
    provider.reply("blue")

    begun = await user.regenerate(sent.conversation_id, sent.message.id)
    done = await ended(user, begun.id)

    question, answer = await branch(user, sent.conversation_id)
    assert (answer.id, answer.parent_id, answer.text) == (done.message_id, sent.user_message_id, "blue")
    assert question.id == sent.user_message_id
    assert (await user.conversation(sent.conversation_id)).active_message_id == answer.id
    assert (await user.generation(sent.message.generation_id)).text == "red"


async def test_the_old_answer_is_no_part_of_what_the_model_is_asked(user: User, provider: LLMock) -> None:
    provider.reply("red")
    sent = await user.send("colour?")

    await ended(user, (await user.regenerate(sent.conversation_id, sent.message.id)).id)

    assert asked(provider) == [("user", "colour?")]


async def test_an_answer_in_the_middle_is_written_anew_without_what_follows(user: User, provider: LLMock) -> None:
    first = await user.send("one")
    id_ = first.conversation_id
    second = await user.send("two", conversation_id=id_)

    begun = await user.regenerate(id_, first.message.id)
    await ended(user, begun.id)

    assert [message.id for message in await branch(user, id_)] == [first.user_message_id, begun.message_id]
    await user.update(id_, active_message_id=second.message.id)
    assert len(await branch(user, id_)) == 4


async def test_its_events_are_those_of_any_answer(user: User) -> None:
    sent = await user.send("colour?")

    begun = await user.regenerate(sent.conversation_id, sent.message.id)
    events = await user.resume(begun.id)

    assert kinds(events) == ["message_start", "delta", "usage", "message_end"]
    start = events[0].message_start
    assert (start.user_message_id, start.message_id) == (sent.user_message_id, begun.message_id)


async def test_the_same_model_answers_again_unless_another_is_named(user: User) -> None:
    sent = await user.send(model="gpt-4.1-mini")
    id_ = sent.conversation_id

    same = await user.regenerate(id_, sent.message.id)
    await ended(user, same.id)
    other = await user.regenerate(id_, same.message_id, provider="local")
    await ended(user, other.id)

    assert (await branch(user, id_))[-1].model == "smollm2-135m"
    assert (await user.resume(same.id))[0].message_start.model == "gpt-4.1-mini"


async def test_a_question_is_no_answer(user: User) -> None:
    sent = await user.send()

    error = await refusal(user.regenerate(sent.conversation_id, sent.user_message_id))

    assert isinstance(error, FailedPrecondition)
    assert error.reason == "NOT_AN_ANSWER"


async def test_an_unknown_model_writes_nothing_anew(user: User) -> None:
    sent = await user.send()

    error = await refusal(user.regenerate(sent.conversation_id, sent.message.id, model="gpt-0"))

    assert isinstance(error, InvalidArgument)
    assert (await branch(user, sent.conversation_id))[-1].id == sent.message.id


async def test_an_answer_of_another_conversation_is_not_found(user: User) -> None:
    sent, made = await user.send(), await user.create()

    for message_id in (sent.message.id, new_id()):
        assert isinstance(await refusal(user.regenerate(made.id, message_id)), NotFound)


async def test_two_new_answers_at_once_are_two_siblings(user: User, other: Replica) -> None:
    sent = await user.send()
    id_ = sent.conversation_id

    begun = await asyncio.gather(
        user.regenerate(id_, sent.message.id), user.at(other.stub).regenerate(id_, sent.message.id)
    )
    done = [await ended(user, generation.id) for generation in begun]

    assert [generation.state for generation in done] == [pb.STATE_DONE] * 2
    assert {(await user.resume(g.id))[0].message_start.user_message_id for g in done} == {sent.user_message_id}
    assert (await branch(user, id_))[-1].id in {generation.message_id for generation in done}


async def test_repeats_with_the_same_key_begin_one_answer(user: User, other: Replica, provider: LLMock) -> None:
    sent = await user.send()

    begun = await asyncio.gather(
        *(
            who.regenerate(sent.conversation_id, sent.message.id, idempotency_key="again")
            for who in (user, user.at(other.stub))
            for _ in range(3)
        )
    )
    await ended(user, begun[0].id)

    assert len({generation.id for generation in begun}) == 1
    assert len(provider.requests) == 2


async def test_new_answers_count_as_much_as_messages(user: User, provider: LLMock) -> None:
    sent = await user.send()
    provider.slow_first_token(600, times=2)
    begun = [await user.regenerate(sent.conversation_id, sent.message.id) for _ in range(2)]

    for call in (user.regenerate(sent.conversation_id, sent.message.id), user.send()):
        error = await refusal(call)
        assert isinstance(error, ResourceExhausted)
        assert error.reason == "TOO_MANY_GENERATIONS"
    for generation in begun:
        await user.cancel(generation.id)


@pytest.mark.parametrize("first", [True, False])
async def test_an_edited_message_stands_beside_the_one_it_was(user: User, provider: LLMock, *, first: bool) -> None:
    one = await user.send("one")
    id_ = one.conversation_id
    two = await user.send("two", conversation_id=id_)
    edited = (await branch(user, id_))[0 if first else 2]

    again = await user.send("edited", conversation_id=id_, parent_id=edited.parent_id)

    kept = [] if first else [one.user_message_id, one.message.id]
    assert [message.id for message in await branch(user, id_)] == [*kept, again.user_message_id, again.message.id]
    assert asked(provider)[-1] == ("user", "edited")
    assert ("user", "two") not in asked(provider)
    assert (await user.generation(two.message.generation_id)).state == pb.STATE_DONE


async def test_an_edit_while_the_answer_is_written_leaves_that_answer_whole(
    user: User, provider: LLMock, llmock_server: LLMockServer
) -> None:
    provider.reply("word " * 100).pace(2)
    begun = await user.begin("one")
    await reached(llmock_server)

    edited = await user.send("another", conversation_id=begun.conversation_id, parent_id=begun.parent_id)
    done = await ended(user, begun.generation_id)

    assert (done.state, done.text) == (pb.STATE_DONE, "word " * 100)
    assert [m.id for m in await branch(user, begun.conversation_id)] == [edited.user_message_id, edited.message.id]
