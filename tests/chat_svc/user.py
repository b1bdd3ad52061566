"""Somebody who chats: a user with a token, calling the service as the edge would."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from chatmesh.chat.v1 import chat_pb2 as pb
from llmock.pytest_plugin import LLMock
from llmock.testing import LLMockServer

from svckit.ids import new_id
from tests.callers import signed_in
from tests.waiting import until

if TYPE_CHECKING:
    from chatmesh.chat.v1.chat_pb2_grpc import ChatServiceAsyncStub


@dataclass(frozen=True)
class User:
    """A user of their own for each test, talking to one replica."""

    stub: "ChatServiceAsyncStub"
    id: str = field(default_factory=new_id)

    def at(self, stub: "ChatServiceAsyncStub") -> "User":
        """The same user, talking to another replica."""
        return replace(self, stub=stub)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return signed_in(self.id)

    async def create(self, **more: Any) -> pb.Conversation:
        request = pb.CreateConversationRequest(**more)
        return (await self.stub.CreateConversation(request, metadata=self.metadata)).conversation

    async def send(self, message: str = "hello", **more: Any) -> pb.SendMessageResponse:
        return await self.stub.SendMessage(pb.SendMessageRequest(message=message, **more), metadata=self.metadata)

    async def stream(self, message: str = "hello", **more: Any) -> AsyncGenerator[pb.GenerationEvent, None]:
        request = pb.StreamMessageRequest(message=message, **more)
        async for response in self.stub.StreamMessage(request, metadata=self.metadata):
            yield response.event

    async def resume(self, generation_id: str, **more: Any) -> list[pb.GenerationEvent]:
        return [event async for event in self.stream_again(generation_id, **more)]

    async def stream_again(self, generation_id: str, **more: Any) -> AsyncGenerator[pb.GenerationEvent, None]:
        request = pb.ResumeGenerationRequest(generation_id=generation_id, **more)
        async for response in self.stub.ResumeGeneration(request, metadata=self.metadata):
            yield response.event

    async def begin(self, message: str = "hello", **more: Any) -> pb.MessageStart:
        """Send and leave: the answer is written without anybody who listens."""
        call = self.stub.StreamMessage(pb.StreamMessageRequest(message=message, **more), metadata=self.metadata)
        response = await call.read()
        call.cancel()
        assert isinstance(response, pb.StreamMessageResponse)
        return response.event.message_start

    async def generation(self, generation_id: str) -> pb.Generation:
        request = pb.GetGenerationRequest(generation_id=generation_id)
        return (await self.stub.GetGeneration(request, metadata=self.metadata)).generation

    async def cancel(self, generation_id: str) -> pb.Generation:
        request = pb.CancelGenerationRequest(generation_id=generation_id)
        return (await self.stub.CancelGeneration(request, metadata=self.metadata)).generation

    async def conversation(self, conversation_id: str) -> pb.Conversation:
        request = pb.GetConversationRequest(conversation_id=conversation_id)
        return (await self.stub.GetConversation(request, metadata=self.metadata)).conversation

    async def conversations(self, **more: Any) -> pb.ListConversationsResponse:
        return await self.stub.ListConversations(pb.ListConversationsRequest(**more), metadata=self.metadata)

    async def search(self, q: str, **more: Any) -> pb.SearchConversationsResponse:
        request = pb.SearchConversationsRequest(q=q, **more)
        return await self.stub.SearchConversations(request, metadata=self.metadata)

    async def update(self, conversation_id: str, **changes: Any) -> pb.Conversation:
        request = pb.UpdateConversationRequest(conversation_id=conversation_id, **changes)
        return (await self.stub.UpdateConversation(request, metadata=self.metadata)).conversation

    async def regenerate(self, conversation_id: str, message_id: str, **more: Any) -> pb.Generation:
        request = pb.RegenerateMessageRequest(conversation_id=conversation_id, message_id=message_id, **more)
        return (await self.stub.RegenerateMessage(request, metadata=self.metadata)).generation

    async def delete(self, conversation_id: str) -> None:
        request = pb.DeleteConversationRequest(conversation_id=conversation_id)
        await self.stub.DeleteConversation(request, metadata=self.metadata)

    async def messages(self, conversation_id: str, **more: Any) -> pb.ListMessagesResponse:
        request = pb.ListMessagesRequest(conversation_id=conversation_id, **more)
        return await self.stub.ListMessages(request, metadata=self.metadata)


def kinds(events: list[pb.GenerationEvent]) -> list[str | None]:
    """What happened, in order; deltas that follow one another once."""
    found = [event.WhichOneof("event") for event in events]
    return [kind for before, kind in zip([None, *found], found, strict=False) if (before, kind) != ("delta", "delta")]


def text(events: list[pb.GenerationEvent]) -> str:
    return "".join(event.delta.text for event in events)


async def ended(user: User, generation_id: str) -> pb.Generation:
    """The generation, once it has ended."""
    await user.resume(generation_id)
    return await user.generation(generation_id)


async def reached(server: LLMockServer, *, times: int = 1) -> None:
    """Until the provider was asked so often: an order that it has is for whoever asks first."""
    journal = server.state.journal

    async def often() -> bool:
        return journal.in_flight + len(journal) >= times

    await until(often)


def asked(provider: LLMock) -> list[tuple[str, str]]:
    """What the provider was asked last."""
    return [(turn["role"], turn["content"]) for turn in provider.last_request.body["messages"]]
