"""Making, changing and deleting conversations, and telling the other services of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from chatmesh.events.v1 import events_pb2
from sqlalchemy.ext.asyncio import AsyncSession

from chat_svc import answer_store, attachment_store, entitlements, models, store
from chat_svc.catalogue import Model
from chat_svc.models import Conversation, Message, title_words
from chat_svc.words import words_of
from svckit import events, outbox, postgres
from svckit.errors import NotFound
from svckit.ids import new_id
from svckit.statements import Driver


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is to become of a conversation; None stays as it is. Texts are clean."""

    title: str | None = None
    archived: bool | None = None
    system_prompt: str | None = None
    model: Model | None = None
    active_message_id: str | None = None


async def create(
    driver: Driver,
    *,
    owner_id: str,
    plan: str,
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
    await answer_store.add_conversation(driver, conversation)
    created = events_pb2.ConversationCreated(user_id=owner_id, conversation_id=conversation.id, plan=plan)
    await outbox.add_directly(driver, models.outbox, events.event(created, source="chat", about=owner_id, time=now))
    return conversation


async def find(session: AsyncSession, conversation_id: str, *, owner_id: str, lock: bool = False) -> Conversation:
    """The owner's conversation; `lock` holds it against other changes. Raises NotFound."""
    found = await store.find_conversation(session, conversation_id, owner_id=owner_id, lock=lock)
    if found is None:
        raise _unknown()
    return found


async def lock(driver: Driver, conversation_id: str, *, owner_id: str) -> Conversation:
    """The owner's conversation, held against other changes until the transaction ends. Raises NotFound."""
    found = await answer_store.lock_conversation(driver, conversation_id, owner_id=owner_id)
    if found is None:
        raise _unknown()
    return found


async def change(session: AsyncSession, conversation_id: str, changes: Changes, *, owner_id: str) -> Conversation:
    """Change the owner's conversation. Raises NotFound, also when the active message is to be one from elsewhere."""
    found = await find(session, conversation_id, owner_id=owner_id, lock=True)
    if changes.title is not None:
        found.title, found.words = changes.title, title_words(words_of(changes.title))
    if changes.archived is not None:
        found.archived = changes.archived
    if changes.system_prompt is not None:
        found.system_prompt = changes.system_prompt
    if changes.model is not None:
        found.provider, found.model = changes.model.provider, changes.model.id
    if changes.active_message_id is not None:
        driver = await postgres.driver_of(session)
        found.active_message_id = (await find_message(driver, changes.active_message_id, conversation=found)).id
    return found


async def find_message(driver: Driver, message_id: str, *, conversation: Conversation) -> Message:
    """A message of the conversation. Raises NotFound."""
    found = await answer_store.find_message(driver, message_id, conversation_id=conversation.id)
    if found is None:
        raise NotFound("no such message in this conversation")
    return found


async def delete(session: AsyncSession, conversation_id: str, *, owner_id: str, now: datetime) -> Sequence[str]:
    """Delete the owner's conversation with all of its messages; the ids of generations that ran. Raises NotFound."""
    driver = await postgres.driver_of(session)
    await store.lock_owner(driver, owner_id)  # else a file could be sent again right while it is deleted
    conversation = await find(session, conversation_id, owner_id=owner_id, lock=True)
    running = await store.running_in(session, conversation.id)
    await store.delete_conversation(session, conversation.id)
    await attachment_store.delete_unused(session, owner_id)
    plan = (await entitlements.allowance(driver, owner_id, now=now)).plan
    deleted = events_pb2.ConversationDeleted(user_id=owner_id, conversation_id=conversation.id, plan=plan)
    await outbox.add(session, models.outbox, events.event(deleted, source="chat", about=owner_id, time=now))
    return running


def _unknown() -> NotFound:
    return NotFound("no such conversation")
