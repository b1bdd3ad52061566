"""RPCs of messages and of the answers to them."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from chatmesh.chat.v1 import chat_pb2 as pb
from chatmesh.chat.v1.chat_pb2_grpc import ChatServiceServicer

from chat_svc import attachment_store, conversations, paging, store
from chat_svc.failures import error_of
from chat_svc.generations import Generations
from chat_svc.models import Message, State
from chat_svc.servicer import bridge
from chat_svc.servicer.answers import Answers
from chat_svc.servicer.asking import draft_of, last_event_id
from chat_svc.texts import clean
from chat_svc.wishes import Retake
from svckit import identity, postgres
from svckit.errors import NotFound
from svckit.postgres import Database
from svckit.rpc.call import Context


@dataclass(kw_only=True, eq=False)
class MessageRpcs(ChatServiceServicer):
    """Serves messages."""

    database: Database
    generations: Generations
    answers: Answers

    async def ListMessages(self, request: pb.ListMessagesRequest, context: Context) -> pb.ListMessagesResponse:
        size = paging.size_of(request.page_size)
        async with self.database.transaction() as session:
            found = await conversations.find(session, request.conversation_id, owner_id=identity.user_id())
            if found.active_message_id is None:
                return pb.ListMessagesResponse()
            leaf_id, after = found.active_message_id, -1
            if request.page_token:
                leaf_id, after = paging.branch(request.page_token)
            if request.newest_first:
                rows = await store.newest_of_branch(session, leaf_id, conversation_id=found.id, limit=size)
            else:
                rows = await store.oldest_of_branch(session, leaf_id, conversation_id=found.id, after=after, limit=size)
            images = await attachment_store.references(
                await postgres.driver_of(session), [row.message.id for row in rows]
            )
        messages = [bridge.message(row, images.get(row.message.id, ())) for row in rows]
        token = _next_page(rows[-1].message, leaf_id, newest_first=request.newest_first) if rows else ""
        return pb.ListMessagesResponse(messages=messages, next_page_token=token)

    async def RegenerateMessage(
        self, request: pb.RegenerateMessageRequest, context: Context
    ) -> pb.RegenerateMessageResponse:
        retake = Retake(
            owner_id=identity.user_id(),
            conversation_id=request.conversation_id,
            message_id=request.message_id,
            provider=request.provider,
            model=request.model,
            idempotency_key=clean(request.idempotency_key),
        )
        begun = await self.generations.begin(retake)
        return pb.RegenerateMessageResponse(generation=await self.answers.show(begun.id))

    async def SendMessage(self, request: pb.SendMessageRequest, context: Context) -> pb.SendMessageResponse:
        begun = await self.generations.begin(draft_of(request))
        if begun.state == State.RUNNING:
            async with aclosing(await self.answers.events(begun, after=-1)) as events:
                async for _ in events:
                    pass
        async with self.database.transaction() as session:
            answered = await store.find_answer(session, begun.id, owner_id=identity.user_id())
        if answered is None:
            raise NotFound("the conversation was deleted")
        if answered.generation.state == State.FAILED:
            raise error_of(answered.generation)
        return pb.SendMessageResponse(
            conversation_id=answered.message.conversation_id,
            user_message_id=answered.message.parent_id or "",
            message=bridge.message(answered),
        )

    async def StreamMessage(
        self, request: pb.StreamMessageRequest, context: Context
    ) -> AsyncIterator[pb.StreamMessageResponse]:
        begun = await self.generations.begin(draft_of(request))
        # Without a key this is another message, whatever the client has seen of the one before.
        after = last_event_id(context) if request.idempotency_key else -1
        async with aclosing(await self.answers.events(begun, after=after)) as events:
            async for event in events:
                yield pb.StreamMessageResponse(event=event)


def _next_page(last: Message, leaf_id: str, *, newest_first: bool) -> str:
    """The token for what follows the last message of a page of that leaf's branch; empty: nothing does."""
    if newest_first:
        return paging.branch_token(last.parent_id, last.depth) if last.parent_id else ""
    return paging.branch_token(leaf_id, last.depth) if last.id != leaf_id else ""
