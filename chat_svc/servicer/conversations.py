"""RPCs of conversations; each caller sees their own."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from chatmesh.chat.v1 import chat_pb2 as pb
from chatmesh.chat.v1.chat_pb2_grpc import ChatServiceServicer

from chat_svc import conversations, entitlements, owners, paging, store
from chat_svc.catalogue import Catalogue
from chat_svc.conversations import Changes
from chat_svc.entitlements import Allowance
from chat_svc.generations import Generations
from chat_svc.owners import Turns
from chat_svc.servicer import bridge
from chat_svc.texts import clean
from svckit import identity, postgres
from svckit.errors import Unavailable
from svckit.postgres import Database
from svckit.rpc.call import Context


@dataclass(kw_only=True, eq=False)
class ConversationRpcs(ChatServiceServicer):
    """Serves conversations."""

    database: Database
    catalogue: Catalogue
    generations: Generations
    turns: Turns

    async def GetConversation(self, request: pb.GetConversationRequest, context: Context) -> pb.GetConversationResponse:
        async with self.database.transaction() as session:
            found = await conversations.find(session, request.conversation_id, owner_id=identity.user_id())
        return pb.GetConversationResponse(conversation=bridge.conversation(found))

    async def ListConversations(
        self, request: pb.ListConversationsRequest, context: Context
    ) -> pb.ListConversationsResponse:
        size = paging.size_of(request.page_size)
        async with self.database.transaction() as session:
            found = await store.list_conversations(
                session,
                owner_id=identity.user_id(),
                archived=request.archived if request.HasField("archived") else None,
                after=paging.last_used(request.page_token) if request.page_token else None,
                limit=size + 1,
            )
        page = found[:size]
        more = len(found) > size
        return pb.ListConversationsResponse(
            conversations=map(bridge.conversation, page),
            next_page_token=paging.last_used_token(page[-1].updated_at, page[-1].id) if more else "",
        )

    async def SearchConversations(
        self, request: pb.SearchConversationsRequest, context: Context
    ) -> pb.SearchConversationsResponse:
        size = paging.size_of(request.page_size)
        async with self.database.transaction() as session:
            found = await store.search_conversations(
                session,
                owner_id=identity.user_id(),
                q=clean(request.q),
                after=paging.match(request.page_token) if request.page_token else None,
                limit=size + 1,
            )
        page = found[:size]
        more = len(found) > size
        return pb.SearchConversationsResponse(
            conversations=[bridge.conversation(match.conversation) for match in page],
            next_page_token=paging.match_token(page[-1].rank, page[-1].conversation.id) if more else "",
        )

    async def CreateConversation(
        self, request: pb.CreateConversationRequest, context: Context
    ) -> pb.CreateConversationResponse:
        owner_id, key = identity.user_id(), clean(request.idempotency_key)
        now = datetime.now(UTC)
        async with self.turns.of(owner_id), self.database.transaction() as session:
            driver = await postgres.driver_of(session)
            allowance = await entitlements.allowance(driver, owner_id, now=now)
            model = self.catalogue.choose(provider=request.provider, model=request.model, included=allowance.includes)
            await owners.take_turn(driver, owner_id)
            made = await store.conversation_of_key(session, key, owner_id=owner_id) if key else None
            made = made or await conversations.create(
                driver,
                owner_id=owner_id,
                plan=allowance.plan,
                model=model,
                now=now,
                title=clean(request.title),
                system_prompt=clean(request.system_prompt),
                idempotency_key=key,
            )
        await context.send_initial_metadata((("x-http-status", "201"), ("location", f"/api/conversations/{made.id}")))
        return pb.CreateConversationResponse(conversation=bridge.conversation(made))

    async def UpdateConversation(
        self, request: pb.UpdateConversationRequest, context: Context
    ) -> pb.UpdateConversationResponse:
        owner_id = identity.user_id()
        async with self.database.transaction() as session:
            driver = await postgres.driver_of(session)
            allowance = await entitlements.allowance(driver, owner_id, now=datetime.now(UTC))
            changes = self._changes(request, allowance=allowance)
            changed = await conversations.change(session, request.conversation_id, changes, owner_id=owner_id)
        return pb.UpdateConversationResponse(conversation=bridge.conversation(changed))

    async def DeleteConversation(
        self, request: pb.DeleteConversationRequest, context: Context
    ) -> pb.DeleteConversationResponse:
        async with self.database.transaction() as session:
            running = await conversations.delete(
                session, request.conversation_id, owner_id=identity.user_id(), now=datetime.now(UTC)
            )
        for generation_id in running:
            with suppress(Unavailable):  # then it ends by itself, and nobody keeps what it writes
                await self.generations.ask_to_cancel(generation_id)
        return pb.DeleteConversationResponse()

    def _changes(self, request: pb.UpdateConversationRequest, *, allowance: Allowance) -> Changes:
        model = None
        if request.HasField("model"):
            model = self.catalogue.choose(provider="", model=request.model, included=allowance.includes)
        return Changes(
            title=clean(request.title) if request.HasField("title") else None,
            archived=request.archived if request.HasField("archived") else None,
            system_prompt=clean(request.system_prompt) if request.HasField("system_prompt") else None,
            model=model,
            active_message_id=request.active_message_id if request.HasField("active_message_id") else None,
        )
