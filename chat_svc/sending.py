"""Accepting a message: who may send it where, and everything that is written before a model is asked."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from chatmesh.events.v1 import events_pb2
from sqlalchemy.ext.asyncio import AsyncSession

from chat_svc import conversations, models, owners, store
from chat_svc.catalogue import Catalogue, Model
from chat_svc.models import Author, Conversation, Generation, Message, State
from chat_svc.texts import title_of
from svckit import events, outbox
from svckit.errors import NotFound, ResourceExhausted
from svckit.ids import new_id

# Answers that one user may have written at the same time.
MAX_RUNNING = 2
_ABOUT_ONE_ANSWER = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A message that a user wants to send; empty strings leave the choice to us. Texts are clean."""

    owner_id: str
    text: str
    conversation_id: str = ""
    provider: str = ""
    model: str = ""
    parent_id: str = ""
    idempotency_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A message that was accepted. `title` is the conversation's if it got one by this."""

    generation: Generation
    model: Model
    parent_id: str
    title: str


async def repeated(session: AsyncSession, draft: Draft) -> Generation | None:
    """The generation that the same draft has started before. From here on the owner's other sends wait.

    Raises Unauthenticated when the owner's account is deleted.
    """
    await owners.take_turn(session, draft.owner_id)
    if not draft.idempotency_key:
        return None
    return await store.generation_of_key(session, draft.idempotency_key, owner_id=draft.owner_id)


async def accept(session: AsyncSession, draft: Draft, *, catalogue: Catalogue, runner: str, now: datetime) -> Accepted:
    """Write the message, its empty answer, the generation and the events; nothing is asked of the model yet.

    Raises NotFound (conversation or parent), InvalidArgument (model) and ResourceExhausted (TOO_MANY_GENERATIONS).
    """
    if await store.count_running(session, draft.owner_id) >= MAX_RUNNING:
        told = f"at most {MAX_RUNNING} answers at the same time"
        raise ResourceExhausted(told, reason="TOO_MANY_GENERATIONS", retry_after=_ABOUT_ONE_ANSWER)
    conversation, model = await _conversation(session, draft, catalogue=catalogue, now=now)
    parent = await _parent(session, draft, conversation)
    question = _below(parent, conversation, author=Author.USER, text=draft.text, now=now)
    answer = _below(question, conversation, author=Author.ASSISTANT, text="", now=now)
    generation = Generation(
        id=new_id(),
        owner_id=draft.owner_id,
        conversation_id=conversation.id,
        user_message_id=question.id,
        message_id=answer.id,
        provider=model.provider,
        model=model.id,
        runner=runner,
        state=State.RUNNING,
        created_at=now,
        idempotency_key=draft.idempotency_key or None,
    )
    title = "" if conversation.title else title_of(draft.text)
    conversation.title = conversation.title or title
    conversation.updated_at = now
    conversation.active_message_id = answer.id
    session.add_all([question, answer])
    await session.flush()  # before the generation, which points to them
    session.add(generation)
    await _tell_sent(session, generation)
    return Accepted(generation=generation, model=model, parent_id=question.parent_id or "", title=title)


async def _conversation(
    session: AsyncSession, draft: Draft, *, catalogue: Catalogue, now: datetime
) -> tuple[Conversation, Model]:
    """Where the draft goes, locked, and who answers: the model of the draft, else the conversation's."""
    if not draft.conversation_id:
        model = catalogue.choose(provider=draft.provider, model=draft.model)
        return await conversations.create(session, owner_id=draft.owner_id, model=model, now=now), model
    found = await conversations.find(session, draft.conversation_id, owner_id=draft.owner_id, lock=True)
    if draft.provider or draft.model:
        return found, catalogue.choose(provider=draft.provider, model=draft.model)
    return found, catalogue.choose(provider=found.provider, model=found.model)


async def _parent(session: AsyncSession, draft: Draft, conversation: Conversation) -> Message | None:
    """The message that the draft answers to: the one it names, else the last of the active branch."""
    parent_id = draft.parent_id or conversation.active_message_id
    if parent_id is None:
        return None
    parent = await store.find_message(session, parent_id, conversation_id=conversation.id)
    if parent is None:
        raise NotFound("no such message in this conversation")
    return parent


def _below(parent: Message | None, conversation: Conversation, *, author: Author, text: str, now: datetime) -> Message:
    return Message(
        id=new_id(),
        conversation_id=conversation.id,
        parent_id=parent.id if parent else None,
        depth=parent.depth + 1 if parent else 0,
        author=author,
        text=text,
        created_at=now,
    )


async def _tell_sent(session: AsyncSession, generation: Generation) -> None:
    sent = events_pb2.MessageSent(
        user_id=generation.owner_id,
        conversation_id=generation.conversation_id,
        message_id=generation.user_message_id,
        plan=conversations.PLAN,
        provider=generation.provider,
        model=generation.model,
    )
    fact = events.event(sent, source="chat", about=generation.owner_id, time=generation.created_at)
    await outbox.add(session, models.outbox, fact)
