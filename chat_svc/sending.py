"""Accepting what is to be answered: who may ask where, and everything that is written before a model is asked."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from chatmesh.events.v1 import events_pb2

from chat_svc import (
    answer_store,
    attachment_store,
    completing,
    conversations,
    entitlements,
    models,
    owners,
    prompt,
    quota,
    tree,
)
from chat_svc.catalogue import Catalogue, Model
from chat_svc.entitlements import Allowance
from chat_svc.models import Author, Conversation, Generation, Message, State
from chat_svc.parts import refuse_unasked
from chat_svc.prompt import calls_of
from chat_svc.providers import Prompt
from chat_svc.quota import Standing, Work
from chat_svc.streams import KEPT
from chat_svc.texts import title_of
from chat_svc.wishes import Completion, Draft, Retake, Wanted
from svckit import events, outbox
from svckit.errors import FailedPrecondition, Unprocessable
from svckit.ids import new_id
from svckit.statements import Driver


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What was accepted. `parent_id` is the question's, `title` the conversation's if it got one by this.

    The `fallbacks` may answer in the model's place, in that order. `omitted` of the branch's oldest messages are not in
    the prompt.
    """

    generation: Generation
    model: Model
    fallbacks: Sequence[Model]
    prompt: Prompt
    parent_id: str = ""
    title: str = ""
    omitted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A question that waits for an answer, in a conversation that is locked."""

    conversation: Conversation
    question: Message
    model: Model
    title: str = ""
    # As a generation keeps them.
    tools: Mapping[str, Any] | None = None


async def repeated(driver: Driver, wanted: Wanted, *, now: datetime) -> Generation | None:
    """The generation that the same wish has started before. From here on the owner's other wishes wait.

    Raises Unauthenticated when the owner's account is deleted, and Unprocessable (IDEMPOTENCY_KEY_REUSED) when the
    wish under that key was another.
    """
    await owners.take_turn(driver, wanted.owner_id)
    if not wanted.idempotency_key:
        return None
    found = await answer_store.generation_of_key(driver, wanted.idempotency_key, owner_id=wanted.owner_id)
    if found is not None and found.conversation_id is None and _is_past(found, now=now):
        await answer_store.free_key(driver, found)
        return None
    if found is not None and not _is_of(wanted, found):
        raise Unprocessable.of("idempotency_key", "was used with another request", reason="IDEMPOTENCY_KEY_REUSED")
    return found


def _is_past(completion: Generation, *, now: datetime) -> bool:
    """Whether there is no answer that could be given again: it broke off, or is no longer kept."""
    broke_off = completion.state in (State.FAILED, State.CANCELLED)
    return broke_off or (completion.ended_at is not None and now - completion.ended_at >= KEPT)


def _is_of(wanted: Wanted, found: Generation) -> bool:
    """Whether the generation was begun by that wish; of old ones only the kind is known."""
    same_kind = isinstance(wanted, Completion) == (found.conversation_id is None)
    return same_kind and found.fingerprint in (None, wanted.fingerprint)


async def accept(driver: Driver, wanted: Wanted, *, catalogue: Catalogue, runner: str, now: datetime) -> Accepted:
    """Write the question if it is new, its empty answer, the generation and the events; no model is asked yet.

    Raises NotFound (conversation or message), InvalidArgument (model, CONTEXT_OVERFLOW), PermissionDenied
    (MODEL_NOT_IN_PLAN), FailedPrecondition (NOT_AN_ANSWER, NO_MODEL) and ResourceExhausted (TOO_MANY_GENERATIONS,
    QUOTA_EXCEEDED).
    """
    allowance = await entitlements.allowance(driver, wanted.owner_id, now=now)
    standing = await quota.standing(driver, wanted.owner_id, allowance)
    standing.admit(now=now)
    if isinstance(wanted, Completion):
        return await _complete(driver, wanted, catalogue=catalogue, standing=standing, runner=runner, now=now)
    if isinstance(wanted, Retake):
        asked = await _ask_again(driver, wanted, catalogue=catalogue, allowance=allowance)
    else:
        asked = await _ask(driver, wanted, catalogue=catalogue, allowance=allowance, now=now)
    conversation, question = asked.conversation, asked.question
    answer = await tree.below(driver, question, conversation, author=Author.ASSISTANT, text="", now=now)
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
        fingerprint=wanted.fingerprint,
        tools=asked.tools,
    )
    await answer_store.lead_on(driver, conversation.id, to=answer.id, now=now)
    await answer_store.add_message(driver, answer)
    await answer_store.add_generation(driver, generation)
    built = await prompt.build(driver, generation, model=asked.model, system=conversation.system_prompt)
    completing.refuse_empty(asked.model, built.prompt)
    prompt.refuse_too_long(built.prompt, model=asked.model)
    return Accepted(
        generation=generation,
        model=asked.model,
        fallbacks=catalogue.fallbacks(asked.model, included=allowance.includes),
        prompt=await _held_back(driver, generation, built.prompt, standing=standing, tokens=built.tokens, now=now),
        parent_id=question.parent_id or "",
        title=asked.title,
        omitted=built.omitted,
    )


async def _complete(
    driver: Driver, wanted: Completion, *, catalogue: Catalogue, standing: Standing, runner: str, now: datetime
) -> Accepted:
    model = completing.chosen(catalogue, wanted.model, included=standing.allowance.includes)
    images = [image for turn in wanted.prompt.turns for image in turn.images]
    completing.refuse_what_it_lacks(model, images=images, tools=wanted.prompt.tools)
    generation = Generation(
        id=new_id(),
        owner_id=wanted.owner_id,
        provider=model.provider,
        model=model.id,
        runner=runner,
        state=State.RUNNING,
        created_at=now,
        idempotency_key=wanted.idempotency_key or None,
        fingerprint=wanted.fingerprint,
    )
    await answer_store.add_generation(driver, generation)
    most = min(wanted.prompt.max_output_tokens, model.max_output_tokens)
    asked = replace(wanted.prompt, model=model.id, max_output_tokens=most)
    asked = await _held_back(
        driver, generation, asked, standing=standing, tokens=prompt.tokens_of(asked, model=model), now=now
    )
    fallbacks = catalogue.fallbacks(model, included=standing.allowance.includes)
    return Accepted(generation=generation, model=model, fallbacks=fallbacks, prompt=asked)


async def _held_back(
    driver: Driver, generation: Generation, asked: Prompt, *, standing: Standing, tokens: int, now: datetime
) -> Prompt:
    """The prompt with as long an answer as the plan still has, for which, and its own, tokens are held back."""
    longest = standing.share(input_tokens=tokens, longest=asked.max_output_tokens, now=now)
    await quota.reserve(
        driver,
        work_of(generation),
        allowance=standing.allowance,
        tokens=tokens + longest,
        runner=generation.runner,
    )
    return replace(asked, max_output_tokens=longest)


def work_of(generation: Generation) -> Work:
    """What the quota counts a generation as."""
    return Work(
        id=generation.id,
        owner_id=generation.owner_id,
        provider=generation.provider,
        model=generation.model,
        conversation_id=generation.conversation_id or "",
        message_id=generation.message_id or "",
    )


async def _ask(driver: Driver, draft: Draft, *, catalogue: Catalogue, allowance: Allowance, now: datetime) -> _Asked:
    """Write the draft's message where it goes."""
    title = title_of(draft.text)
    if draft.conversation_id:
        conversation, model = await _found(driver, draft, catalogue=catalogue, allowance=allowance)
        title = "" if conversation.title else title
        if title:
            await answer_store.give_title(driver, conversation.id, title)
    else:
        model = catalogue.choose(provider=draft.provider, model=draft.model, included=allowance.includes)
        conversation = await conversations.create(
            driver, owner_id=draft.owner_id, plan=allowance.plan, model=model, now=now, title=title
        )
    completing.refuse_what_it_lacks(model, images=draft.images, tools=[*draft.toolbox.tools, *draft.results])
    parent = await _parent(driver, draft, conversation)
    refuse_unasked(draft.results, calls_of(parent))
    question = await tree.below(driver, parent, conversation, author=Author.USER, text=draft.text, now=now)
    question.tool_results = [asdict(result) for result in draft.results] or None
    await answer_store.add_message(driver, question)
    await attachment_store.attach(driver, question, draft.images, now=now)
    await _tell_sent(driver, question, plan=allowance.plan, model=model)
    return _Asked(conversation=conversation, question=question, model=model, title=title, tools=draft.toolbox.kept())


async def _ask_again(driver: Driver, retake: Retake, *, catalogue: Catalogue, allowance: Allowance) -> _Asked:
    """The question of the answer that is to be written anew."""
    conversation = await conversations.lock(driver, retake.conversation_id, owner_id=retake.owner_id)
    message = await conversations.find_message(driver, retake.message_id, conversation=conversation)
    before = await answer_store.generation_of(driver, message)
    if before is None:
        raise FailedPrecondition("the message is not an answer", reason="NOT_AN_ANSWER")
    question = await conversations.find_message(driver, before.user_message_id or "", conversation=conversation)
    named = retake if retake.provider or retake.model else before
    model = catalogue.choose(provider=named.provider, model=named.model, included=allowance.includes)
    return _Asked(conversation=conversation, question=question, model=model, tools=before.tools)


async def _found(
    driver: Driver, draft: Draft, *, catalogue: Catalogue, allowance: Allowance
) -> tuple[Conversation, Model]:
    """The conversation that the draft names, locked, and who answers: the model of the draft, else that one's."""
    found = await conversations.lock(driver, draft.conversation_id, owner_id=draft.owner_id)
    named = draft if draft.provider or draft.model else found
    return found, catalogue.choose(provider=named.provider, model=named.model, included=allowance.includes)


async def _parent(driver: Driver, draft: Draft, conversation: Conversation) -> Message | None:
    """The message that the draft answers to; None when it is a first."""
    parent_id = conversation.active_message_id if draft.parent_id is None else draft.parent_id
    return await conversations.find_message(driver, parent_id, conversation=conversation) if parent_id else None


async def _tell_sent(driver: Driver, question: Message, *, plan: str, model: Model) -> None:
    sent = events_pb2.MessageSent(
        user_id=question.owner_id,
        conversation_id=question.conversation_id,
        message_id=question.id,
        plan=plan,
        provider=model.provider,
        model=model.id,
    )
    fact = events.event(sent, source="chat", about=question.owner_id, time=question.created_at)
    await outbox.add_directly(driver, models.outbox, fact)
