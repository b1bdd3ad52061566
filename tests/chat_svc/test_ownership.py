"""What is somebody else's is not there, whichever RPC asks for it."""

from collections.abc import Awaitable, Callable

import grpc
import pytest
from chatmesh.chat.v1 import chat_pb2 as pb

from svckit.errors import NotFound
from tests.callers import refusal
from tests.chat_svc.user import User

Ask = Callable[[User, pb.SendMessageResponse], Awaitable[object]]


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda who, sent: who.conversation(sent.conversation_id), id="GetConversation"),
        pytest.param(lambda who, sent: who.delete(sent.conversation_id), id="DeleteConversation"),
        pytest.param(lambda who, sent: who.messages(sent.conversation_id), id="ListMessages"),
        pytest.param(lambda who, sent: who.send(conversation_id=sent.conversation_id), id="SendMessage"),
        pytest.param(lambda who, sent: who.begin(conversation_id=sent.conversation_id), id="StreamMessage"),
        pytest.param(lambda who, sent: who.generation(sent.message.generation_id), id="GetGeneration"),
        pytest.param(lambda who, sent: who.resume(sent.message.generation_id), id="ResumeGeneration"),
        pytest.param(lambda who, sent: who.cancel(sent.message.generation_id), id="CancelGeneration"),
    ],
)
async def test_somebody_elses_is_not_found(user: User, stranger: User, ask: Ask) -> None:
    sent = await user.send()

    assert isinstance(await refusal(ask(stranger, sent)), NotFound)
    assert len((await user.messages(sent.conversation_id)).messages) == 2


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
