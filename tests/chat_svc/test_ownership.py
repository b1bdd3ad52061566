"""What is somebody else's is not there, whichever RPC asks for it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from chatmesh.chat.v1 import chat_pb2 as pb
from llmock.pytest_plugin import LLMock

from svckit.errors import NotFound
from svckit.rpc.status import received
from tests.callers import refusal
from tests.chat_svc.conftest import SERVICES
from tests.chat_svc.pictures import PNG
from tests.chat_svc.user import User, ended


@dataclass(frozen=True)
class Owned:
    """One of everything that has an id."""

    conversation_id: str
    message_id: str
    generation_id: str
    attachment_id: str


Ask = Callable[[User, Owned], Awaitable[object]]


async def owned_by(user: User) -> Owned:
    sent = await user.send(model="gpt-4.1-mini", parts=[pb.ContentPart(image=pb.Image(data=PNG))])
    question = (await user.messages(sent.conversation_id)).messages[0]
    return Owned(
        sent.conversation_id,
        sent.message.id,
        sent.message.generation_id,
        question.parts[0].image.attachment_id,
    )


async def fetch(who: User, attachment_id: str) -> None:
    await who.stub.GetAttachment(pb.GetAttachmentRequest(attachment_id=attachment_id), metadata=who.metadata)


async def converse(who: User, **action: Any) -> None:
    """One request over a connection of its own; raises NotFound when it is refused as that."""
    call = who.stub.Converse(aiter_of(pb.ConverseRequest(**action)), metadata=who.metadata)
    answers = [answer async for answer in call]
    assert answers
    if answers[0].refusal.code == "not_found":
        raise NotFound("refused")


async def is_not_found(call: Awaitable[object]) -> bool:
    """Whether that is how the call ends, over its status or by a refusal."""
    try:
        await call
    except NotFound:
        return True
    except grpc.aio.AioRpcError as error:
        return isinstance(received(error), NotFound)
    return False


async def aiter_of(request: pb.ConverseRequest) -> AsyncIterator[pb.ConverseRequest]:
    yield request


# Each id that a request may name, with the RPC that takes it.
ASKED: dict[str, Ask] = {
    "GetConversation": lambda who, theirs: who.conversation(theirs.conversation_id),
    "UpdateConversation": lambda who, theirs: who.update(theirs.conversation_id, title="mine"),
    "DeleteConversation": lambda who, theirs: who.delete(theirs.conversation_id),
    "ListMessages": lambda who, theirs: who.messages(theirs.conversation_id),
    "RegenerateMessage": lambda who, theirs: who.regenerate(theirs.conversation_id, theirs.message_id),
    "SendMessage": lambda who, theirs: who.send(conversation_id=theirs.conversation_id),
    "StreamMessage": lambda who, theirs: who.begin(conversation_id=theirs.conversation_id),
    "Converse.send": lambda who, theirs: converse(who, send=said(conversation_id=theirs.conversation_id)),
    "Converse.resume": lambda who, theirs: converse(who, resume=resumed(theirs.generation_id)),
    "Converse.cancel": lambda who, theirs: converse(who, cancel=cancelled(theirs.generation_id)),
    "GetGeneration": lambda who, theirs: who.generation(theirs.generation_id),
    "ResumeGeneration": lambda who, theirs: who.resume(theirs.generation_id),
    "CancelGeneration": lambda who, theirs: who.cancel(theirs.generation_id),
    "GetAttachment": lambda who, theirs: fetch(who, theirs.attachment_id),
}
# Their answers are made of the caller's own, whatever they ask: tests below and in test_search.py.
NAME_NO_ID = {"ListConversations", "SearchConversations", "CreateConversation", "ListModels", "GetUsage"}
NAME_NO_ID |= {"CreateChatCompletion", "ListCompatibleModels", "GetCompatibleModel"}


def said(**more: Any) -> pb.StreamMessageRequest:
    return pb.StreamMessageRequest(message="hello", **more)


def resumed(generation_id: str) -> pb.ResumeGenerationRequest:
    return pb.ResumeGenerationRequest(generation_id=generation_id)


def cancelled(generation_id: str) -> pb.CancelGenerationRequest:
    return pb.CancelGenerationRequest(generation_id=generation_id)


def test_every_rpc_is_asked_for_somebody_elses() -> None:
    rpcs = {method.name for method in SERVICES[0].methods}

    assert {name.partition(".")[0] for name in ASKED} | NAME_NO_ID == rpcs


async def test_somebody_elses_is_not_found_neither_while_it_is_there_nor_once_it_is_deleted(
    user: User, stranger: User
) -> None:
    """The same answer as for what was never there: nobody learns what others have or had."""
    theirs = await owned_by(user)
    before = await user.conversation(theirs.conversation_id)

    for rpc, ask in ASKED.items():
        assert await is_not_found(ask(stranger, theirs)), rpc
    assert await user.conversation(theirs.conversation_id) == before
    assert len((await user.messages(theirs.conversation_id)).messages) == 2

    await user.delete(theirs.conversation_id)
    for rpc, ask in ASKED.items():
        assert await is_not_found(ask(stranger, theirs)), rpc


async def test_somebody_elses_image_cannot_be_sent_by_its_id(user: User, stranger: User) -> None:
    theirs = await owned_by(user)
    named = pb.ContentPart(image=pb.Image(attachment_id=theirs.attachment_id, media_type="image/png", size=1))

    error = await refusal(stranger.send(model="gpt-4.1-mini", parts=[named]))

    assert (error.reason, [violation.field for violation in error.violations]) == (
        "IMAGE_UNREADABLE",
        ["parts[0].image.data"],
    )


async def test_a_generation_that_runs_is_neither_read_nor_stopped_by_others(
    user: User, stranger: User, provider: LLMock
) -> None:
    provider.reply("word " * 100).pace(2)
    start = await user.begin()

    for call in (
        stranger.generation(start.generation_id),
        stranger.resume(start.generation_id),
        stranger.cancel(start.generation_id),
    ):
        assert isinstance(await refusal(call), NotFound)
    assert (await ended(user, start.generation_id)).state == pb.STATE_DONE


async def test_somebody_elses_answer_is_not_written_anew_in_ones_own_conversation(user: User, stranger: User) -> None:
    sent, theirs = await user.send(), await stranger.send()

    for call in (
        stranger.regenerate(theirs.conversation_id, sent.message.id),
        stranger.update(theirs.conversation_id, active_message_id=sent.message.id),
    ):
        assert isinstance(await refusal(call), NotFound)


async def test_somebody_elses_message_is_no_parent(user: User, stranger: User) -> None:
    sent, theirs = await user.send(), await stranger.send()

    error = await refusal(stranger.send(conversation_id=theirs.conversation_id, parent_id=sent.message.id))

    assert isinstance(error, NotFound)


async def test_somebody_elses_conversations_are_not_listed(user: User, stranger: User) -> None:
    await user.send()

    assert not (await stranger.conversations()).conversations


async def test_somebody_elses_branch_is_not_read_by_a_page_token(user: User, stranger: User) -> None:
    sent = await user.send()
    token = (await user.messages(sent.conversation_id, page_size=1)).next_page_token
    theirs = await stranger.send()

    assert not (await stranger.messages(theirs.conversation_id, page_token=token)).messages


async def test_nobody_chats_without_a_token(user: User) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await user.stub.ListConversations(pb.ListConversationsRequest())

    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
