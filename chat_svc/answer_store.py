"""The SQL from a question to the end of its answer: on the driver itself, since every message comes by all of it.

Whoever reads for a caller names the owner: what is somebody else's is not found.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from psycopg.types.json import Jsonb
from sqlalchemy import Text, bindparam, select, update
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.elements import BindParameter

from chat_svc.models import Conversation, Generation, Message, State, searchable, title_words
from chat_svc.providers import Call
from chat_svc.rows import adding, row_of, values_of
from chat_svc.words import words_of
from svckit.statements import Driver, Statement

_END = (
    Generation.state,
    Generation.finish_reason,
    Generation.error_code,
    Generation.input_tokens,
    Generation.output_tokens,
    Generation.cached_input_tokens,
    Generation.cache_write_tokens,
    Generation.reasoning_tokens,
    Generation.cost_micros,
    Generation.estimated,
    Generation.ended_at,
)
_TEXT = (Message.text, Message.tool_calls, Message.tool_signatures)


def _given(column: InstrumentedAttribute[str] | InstrumentedAttribute[str | None], name: str) -> BindParameter[str]:
    """A value to look for; not by its column's name, which would set the column in an UPDATE."""
    return bindparam(name, type_=column.type)


def _set(*columns: InstrumentedAttribute[object]) -> Mapping[str, BindParameter[object]]:
    return {column.key: bindparam(column.key, type_=column.type) for column in columns}


# --- conversations

_WORDS = bindparam("searched", type_=Text)
_ID = _given(Conversation.id, "of_id")
_OWNER = _given(Conversation.owner_id, "of_owner")
_KEY = bindparam("key", type_=Text)

_ADD_CONVERSATION = adding(Conversation, {"words": title_words(_WORDS)})
_LOCK_CONVERSATION = Statement(
    select(Conversation).where(Conversation.id == _ID, Conversation.owner_id == _OWNER).with_for_update()
)
_SYSTEM_PROMPT = Statement(select(Conversation.system_prompt).where(Conversation.id == _ID))
_USE = update(Conversation).where(Conversation.id == _ID)
_TOUCH = Statement(_USE.values(_set(Conversation.updated_at)))
_LEAD_ON = Statement(_USE.values(_set(Conversation.updated_at, Conversation.active_message_id)))
_GIVE_TITLE = Statement(_USE.values({**_set(Conversation.title), "words": title_words(_WORDS)}))


async def add_conversation(driver: Driver, conversation: Conversation) -> None:
    await _ADD_CONVERSATION.run(driver, {**values_of(conversation), "searched": words_of(conversation.title)})


async def lock_conversation(driver: Driver, conversation_id: str, *, owner_id: str) -> Conversation | None:
    """The owner's conversation, held against other changes until the transaction ends."""
    found = await _LOCK_CONVERSATION.rows(driver, {"of_id": conversation_id, "of_owner": owner_id})
    return row_of(Conversation, found[0]) if found else None


async def system_prompt(driver: Driver, generation: Generation) -> str:
    """The system prompt of the generation's conversation; empty when that was deleted."""
    found = await _SYSTEM_PROMPT.rows(driver, {"of_id": generation.conversation_id})
    return str(found[0]["system_prompt"]) if found else ""


async def touch_conversation(driver: Driver, conversation_id: str, *, now: datetime) -> None:
    """Mark it as used now, and hold it against other changes until the transaction ends."""
    await _TOUCH.run(driver, {"of_id": conversation_id, "updated_at": now})


async def lead_on(driver: Driver, conversation_id: str, *, to: str, now: datetime) -> None:
    """Mark the conversation as used now, its active branch as ending in that message."""
    await _LEAD_ON.run(driver, {"of_id": conversation_id, "updated_at": now, "active_message_id": to})


async def give_title(driver: Driver, conversation_id: str, title: str) -> None:
    """Apart from `lead_on`: else its words would be written, and indexed, anew with each message."""
    await _GIVE_TITLE.run(driver, {"of_id": conversation_id, "title": title, "searched": words_of(title)})


# --- messages

_ADD_MESSAGE = adding(Message, {"words": searchable(_WORDS)})
_FIND_MESSAGE = Statement(
    select(Message).where(Message.id == _ID, Message.conversation_id == _given(Message.conversation_id, "within"))
)
# Without its text.
_FIND_SKIPPED = Statement(
    select(Message.id, Message.depth, Message.skip_id, Message.skip_depth).where(Message.id == _ID)
)
_WRITE_ANSWER = Statement(
    update(Message).where(Message.id == _ID).values({**_set(*_TEXT), "words": searchable(_WORDS)})
)


async def add_message(driver: Driver, message: Message) -> None:
    await _ADD_MESSAGE.run(driver, {**values_of(message), "searched": words_of(message.text)})


async def find_message(driver: Driver, message_id: str, *, conversation_id: str) -> Message | None:
    found = await _FIND_MESSAGE.rows(driver, {"of_id": message_id, "within": conversation_id})
    return row_of(Message, found[0]) if found else None


async def skipped_to(driver: Driver, message: Message) -> Message:
    """The message further up that it points to, itself if it is a first; another comes without its text."""
    if message.skip_id == message.id:
        return message
    (found,) = await _FIND_SKIPPED.rows(driver, {"of_id": message.skip_id})
    return row_of(Message, found)


async def write_answer(driver: Driver, message_id: str, *, text: str, calls: Sequence[Call], model: str) -> None:
    """Give an answer its text and the tool calls that it ends with; `model`, as `provider/id`, may have signed them."""
    shown = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in calls]
    signatures = {call.id: call.signature for call in calls if call.signature}
    values = {
        "of_id": message_id,
        "text": text,
        "searched": words_of(text),
        "tool_calls": Jsonb(shown) if shown else None,
        "tool_signatures": Jsonb({"model": model, "calls": signatures}) if signatures else None,
    }
    await _WRITE_ANSWER.run(driver, values)


# --- generations

_ADD_GENERATION = adding(Generation)
_OF_KEY = Statement(select(Generation).where(Generation.owner_id == _OWNER, Generation.idempotency_key == _KEY))
_OF_MESSAGE = Statement(select(Generation).where(Generation.message_id == _ID))
_FREE_KEY = Statement(update(Generation).where(Generation.id == _ID).values(idempotency_key=None))
_END_GENERATION = Statement(
    update(Generation)
    .where(Generation.id == _ID, Generation.state == State.RUNNING)
    .values(_set(*_END))
    .returning(Generation.id)
)


async def add_generation(driver: Driver, generation: Generation) -> None:
    await _ADD_GENERATION.run(driver, values_of(generation))


async def generation_of_key(driver: Driver, key: str, *, owner_id: str) -> Generation | None:
    """The generation that the owner has started under that idempotency key."""
    found = await _OF_KEY.rows(driver, {"of_owner": owner_id, "key": key})
    return row_of(Generation, found[0]) if found else None


async def free_key(driver: Driver, generation: Generation) -> None:
    """Let the next generation have its key."""
    await _FREE_KEY.run(driver, {"of_id": generation.id})


async def generation_of(driver: Driver, message: Message) -> Generation | None:
    """The generation that writes the message; None when it is no answer."""
    found = await _OF_MESSAGE.rows(driver, {"of_id": message.id})
    return row_of(Generation, found[0]) if found else None


async def end_generation(driver: Driver, generation_id: str, *, values: Mapping[str, object]) -> bool:
    """Write how it ended, once: False when it has ended before or was deleted."""
    return bool(await _END_GENERATION.rows(driver, {"of_id": generation_id, **values}))
