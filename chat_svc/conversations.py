"""Making and deleting conversations, and telling the other services of it."""

from collections.abc import Sequence
from datetime import datetime

from chatmesh.events.v1 import events_pb2
from sqlalchemy.ext.asyncio import AsyncSession

from chat_svc import models, store
from chat_svc.catalogue import Model
from chat_svc.models import Conversation
from svckit import events, outbox
from svckit.errors import NotFound
from svckit.ids import new_id

# What everybody is on until billing's entitlements are heard here.
PLAN = "free"


async def create(
    session: AsyncSession,
    *,
    owner_id: str,
    model: Model,
    now: datetime,
    title: str = "",
    system_prompt: str = "",
    idempotency_key: str = "",
) -> Conversation:
    """A new conversation without messages."""
    conversation = Conversation(
        id=new_id(),
        owner_id=owner_id,
        title=title,
        system_prompt=system_prompt,
        provider=model.provider,
        model=model.id,
        archived=False,
        created_at=now,
        updated_at=now,
        idempotency_key=idempotency_key or None,
    )
    session.add(conversation)
    created = events_pb2.ConversationCreated(user_id=owner_id, conversation_id=conversation.id, plan=PLAN)
    await outbox.add(session, models.outbox, events.event(created, source="chat", about=owner_id, time=now))
    return conversation


async def find(session: AsyncSession, conversation_id: str, *, owner_id: str, lock: bool = False) -> Conversation:
    """The owner's conversation; `lock` holds it against other changes. Raises NotFound."""
    found = await store.find_conversation(session, conversation_id, owner_id=owner_id, lock=lock)
    if found is None:
        raise NotFound("no such conversation")
    return found


async def delete(session: AsyncSession, conversation_id: str, *, owner_id: str, now: datetime) -> Sequence[str]:
    """Delete the owner's conversation with all of its messages; the ids of generations that ran. Raises NotFound."""
    conversation = await find(session, conversation_id, owner_id=owner_id, lock=True)
    running = await store.running_in(session, conversation.id)
    await store.delete_conversation(session, conversation.id)
    deleted = events_pb2.ConversationDeleted(user_id=owner_id, conversation_id=conversation.id, plan=PLAN)
    await outbox.add(session, models.outbox, events.event(deleted, source="chat", about=owner_id, time=now))
    return running
