"""What a model is asked: the system prompt and as much of the branch, newest first, as its window takes."""

from itertools import dropwhile

from sqlalchemy.ext.asyncio import AsyncSession

from chat_svc import store
from chat_svc.catalogue import Model
from chat_svc.models import Author, Conversation, Generation
from chat_svc.providers import Prompt, Turn

# Fewer characters a token than text mostly has, so that what is estimated to fit does fit.
_CHARACTERS_PER_TOKEN = 3
_TURN_TOKENS = 8  # what a chat template puts around each message
_MARGIN = 20  # one part in so many of the window stays free


async def build(session: AsyncSession, generation: Generation, *, model: Model) -> Prompt:
    """The prompt of a generation. The system prompt and the question always go in, whatever their size."""
    assert generation.user_message_id is not None  # a completion brings its prompt with it
    conversation = await session.get_one(Conversation, generation.conversation_id)
    room = _room(model) - _tokens(conversation.system_prompt)
    most, each = max(room, 0) * _CHARACTERS_PER_TOKEN, _TURN_TOKENS * _CHARACTERS_PER_TOKEN
    newest_first: list[Turn] = []
    for message in await store.history(session, generation.user_message_id, characters=most, each=each):
        room -= _tokens(message.text)
        if newest_first and room < 0:
            break
        if message.text:  # an answer that is still being written, or that never came, says nothing
            newest_first.append(Turn(message.author, message.text))
    # Not an answer first, whose question did not fit: some models refuse that.
    turns = list(dropwhile(lambda turn: turn.author == Author.ASSISTANT, reversed(newest_first)))
    return Prompt(
        model=model.id, system=conversation.system_prompt, turns=turns, max_output_tokens=model.max_output_tokens
    )


def _room(model: Model) -> int:
    """Tokens of the window that are left for the prompt."""
    return model.context_tokens - model.max_output_tokens - model.context_tokens // _MARGIN


def _tokens(text: str) -> int:
    return len(text) // _CHARACTERS_PER_TOKEN + _TURN_TOKENS
