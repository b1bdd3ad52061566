"""Accepting what is to be answered: who may ask where, and everything that is written before a model is asked."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from chatmesh.events.v1 import events_pb2
from sqlalchemy.ext.asyncio import AsyncSession

from chat_svc import completing, conversations, models, owners, store, tree
from chat_svc.catalogue import Catalogue, Model
from chat_svc.models import Author, Conversation, Generation, Message, State
from chat_svc.providers import Prompt
from chat_svc.texts import title_of
from svckit import events, outbox
from svckit.errors import FailedPrecondition, ResourceExhausted
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
    # None: the last message of the active branch; empty: no message, this one is a first.
    parent_id: str | None = None
    idempotency_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retake:
    """An answer that a user wants to have written anew; empty strings: by the same model as before."""

    owner_id: str
    conversation_id: str
    message_id: str
    provider: str = ""
    model: str = ""
    idempotency_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A prompt that a user wants to have answered outside of any conversation; it names no model yet."""

    owner_id: str
    prompt: Prompt
    model: str
    idempotency_key: str = ""


Wanted: TypeAlias = Draft | Retake | Completion


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What was accepted. `parent_id` is the question's, `title` the conversation's if it got one by this.

    `prompt` is that of a completion; None: it is made of the conversation.
    """

    generation: Generation
    model: Model
    parent_id: str = ""
    title: str = ""
    prompt: Prompt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A question that waits for an answer, in a conversation that is locked."""

    conversation: Conversation
    question: Message
    model: Model
    title: str = ""


async def repeated(session: AsyncSession, wanted: Wanted) -> Generation | None:
    """The generation that the same wish has started before. From here on the owner's other wishes wait.

    Raises Unauthenticated when the owner's account is deleted.
    """
    await owners.take_turn(session, wanted.owner_id)
    if not wanted.idempotency_key:
        return None
    return await store.generation_of_key(session, wanted.idempotency_key, owner_id=wanted.owner_id)


async def accept(
    session: AsyncSession, wanted: Wanted, *, catalogue: Catalogue, runner: str, now: datetime
) -> Accepted:
    """Write the question if it is new, its empty answer, the generation and the events; no model is asked yet.

    Raises NotFound (conversation or message), InvalidArgument (model), FailedPrecondition (NOT_AN_ANSWER, NO_MODEL)
    and ResourceExhausted (TOO_MANY_GENERATIONS).
    """
    if await store.count_running(session, wanted.owner_id) >= MAX_RUNNING:
        told = f"at most {MAX_RUNNING} answers at the same time"
        raise ResourceExhausted(told, reason="TOO_MANY_GENERATIONS", retry_after=_ABOUT_ONE_ANSWER)
    if isinstance(wanted, Completion):
        return _complete(session, wanted, catalogue=catalogue, runner=runner, now=now)
    if isinstance(wanted, Retake):
        asked = await _ask_again(session, wanted, catalogue=catalogue)
    else:
        asked = await _ask(session, wanted, catalogue=catalogue, now=now)
    conversation, question = asked.conversation, asked.question
    answer = await tree.below(session, question, conversation, author=Author.ASSISTANT, text="", now=now)
    generation = Generation(
        id=new_id(),
        owner_id=wanted.owner_id,
        conversation_id=conversation.id,
        user_message_id=question.id,
        message_id=answer.id,
        provider=asked.model.provider,
        model=asked.model.id,
        runner=runner,
        state=State.RUNNING,
        created_at=now,
        idempotency_key=wanted.idempotency_key or None,
    )
    conversation.updated_at = now
    conversation.active_message_id = answer.id
    session.add(answer)
    await session.flush()  # before the generation, which points to it
    session.add(generation)
    return Accepted(generation=generation, model=asked.model, parent_id=question.parent_id or "", title=asked.title)


def _complete(
    session: AsyncSession, wanted: Completion, *, catalogue: Catalogue, runner: str, now: datetime
) -> Accepted:
    model = completing.chosen(catalogue, wanted.model)
    completing.refuse_what_it_lacks(model, wanted.prompt)
    generation = Generation(
        id=new_id(),
        owner_id=wanted.owner_id,
        provider=model.provider,
        model=model.id,
        runner=runner,
        state=State.RUNNING,
        created_at=now,
    )
    session.add(generation)
    return Accepted(generation=generation, model=model, prompt=wanted.prompt)


async def _ask(session: AsyncSession, draft: Draft, *, catalogue: Catalogue, now: datetime) -> _Asked:
    """Write the draft's message where it goes."""
    conversation, model = await _conversation(session, draft, catalogue=catalogue, now=now)
    parent = await _parent(session, draft, conversation)
    question = await tree.below(session, parent, conversation, author=Author.USER, text=draft.text, now=now)
    title = "" if conversation.title else title_of(draft.text)
    if title:  # else its words would be written, and indexed, anew with each message
        conversation.title = title
    session.add(question)
    await _tell_sent(session, question, owner_id=draft.owner_id, model=model)
    return _Asked(conversation=conversation, question=question, model=model, title=title)


async def _ask_again(session: AsyncSession, retake: Retake, *, catalogue: Catalogue) -> _Asked:
    """The question of the answer that is to be written anew."""
    conversation = await conversations.find(session, retake.conversation_id, owner_id=retake.owner_id, lock=True)
    message = await conversations.find_message(session, retake.message_id, conversation=conversation)
    before = await store.generation_of(session, message)
    if before is None:
        raise FailedPrecondition("the message is not an answer", reason="NOT_AN_ANSWER")
    question = await conversations.find_message(session, before.user_message_id or "", conversation=conversation)
    named = retake if retake.provider or retake.model else before
    model = catalogue.choose(provider=named.provider, model=named.model)
    return _Asked(conversation=conversation, question=question, model=model)


async def _conversation(
    session: AsyncSession, draft: Draft, *, catalogue: Catalogue, now: datetime
) -> tuple[Conversation, Model]:
    """Where the draft goes, locked, and who answers: the model of the draft, else the conversation's."""
    if not draft.conversation_id:
        model = catalogue.choose(provider=draft.provider, model=draft.model)
        return await conversations.create(session, owner_id=draft.owner_id, model=model, now=now), model
    found = await conversations.find(session, draft.conversation_id, owner_id=draft.owner_id, lock=True)
    named = draft if draft.provider or draft.model else found
    return found, catalogue.choose(provider=named.provider, model=named.model)


async def _parent(session: AsyncSession, draft: Draft, conversation: Conversation) -> Message | None:
    """The message that the draft answers to; None when it is a first."""
    parent_id = conversation.active_message_id if draft.parent_id is None else draft.parent_id
    return await conversations.find_message(session, parent_id, conversation=conversation) if parent_id else None


async def _tell_sent(session: AsyncSession, question: Message, *, owner_id: str, model: Model) -> None:
    sent = events_pb2.MessageSent(
        user_id=owner_id,
        conversation_id=question.conversation_id,
        message_id=question.id,
        plan=conversations.PLAN,
        provider=model.provider,
        model=model.id,
    )
    fact = events.event(sent, source="chat", about=owner_id, time=question.created_at)
    await outbox.add(session, models.outbox, fact)
