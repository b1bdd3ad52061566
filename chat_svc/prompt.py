"""What a model is asked: the system prompt and as much of the branch, newest first, as its window takes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile, zip_longest

from chat_svc import answer_store, attachment_store, store
from chat_svc.attachment_store import Reference
from chat_svc.catalogue import Model
from chat_svc.models import Author, Generation, Message
from chat_svc.parts import Toolbox
from chat_svc.providers import Call, Prompt, Result, Turn
from svckit.errors import InvalidArgument
from svckit.statements import Driver

# Fewer bytes a token than text mostly has, in any script, so that what is estimated to fit does fit.
_BYTES_PER_TOKEN = 3
# More than text has on average: what is longer does not fit.
_MOST_BYTES_PER_TOKEN = 8
_IMAGE_TOKENS = 1_500
_TURN_TOKENS = 8  # what a chat template puts around each message
_MARGIN = 20  # one part in so many of the window stays free


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A prompt, about how many tokens it has, and how many of the branch's oldest messages are not in it."""

    prompt: Prompt
    tokens: int
    omitted: int


async def rebuild(driver: Driver, generation: Generation, *, model: Model) -> Built:
    """The prompt of a generation that was accepted before."""
    system = await answer_store.system_prompt(driver, generation)
    return await build(driver, generation, model=model, system=system)


async def build(driver: Driver, generation: Generation, *, model: Model, system: str) -> Built:
    """The prompt of a generation. The system prompt and the question always go in, whatever their size."""
    assert generation.user_message_id is not None  # a completion brings its prompt with it
    room = _room(model) - _tokens(system)
    most, each = max(room, 0) * _BYTES_PER_TOKEN, _TURN_TOKENS * _BYTES_PER_TOKEN
    newest_first: list[Message] = []
    history = await store.history(driver, generation.user_message_id, size=most, each=each)
    pictures = await attachment_store.references(driver, [message.id for message in history])
    for message in history:
        room -= _tokens_of(message, images=len(pictures.get(message.id, ())))
        if newest_first and room < 0:
            break
        newest_first.append(message)
    shown = _from_a_question(newest_first[::-1])
    toolbox = Toolbox.of(generation.tools)
    asked = Prompt(
        model=model.id,
        system=system,
        turns=await _turns(driver, shown, pictures, model=model),
        max_output_tokens=model.max_output_tokens,
        tools=toolbox.tools,
        tool_choice=toolbox.choice,
    )
    return Built(prompt=asked, tokens=tokens_of(asked, model=model), omitted=shown[0].depth)


def calls_of(message: Message | None, *, model: Model | None = None) -> Sequence[Call]:
    """The tools that an answer asks for, with the signatures of `model` if it has written them."""
    if message is None:
        return []
    signed = message.tool_signatures or {}
    signatures = signed["calls"] if model and signed.get("model") == model.name else {}
    return [Call(**call, signature=signatures.get(call["id"], "")) for call in message.tool_calls or ()]


def _from_a_question(messages: Sequence[Message]) -> Sequence[Message]:
    """Without what must not come first: an answer, or a tool's result, whose question did not fit."""
    late = dropwhile(lambda message: message.author == Author.ASSISTANT or message.tool_results, messages)
    return list(late) or messages[-1:]


async def _turns(
    driver: Driver, shown: Sequence[Message], pictures: Mapping[str, Sequence[Reference]], *, model: Model
) -> Sequence[Turn]:
    """The messages as the model can take them: without what it does not know, and without calls that have no result."""
    sees, calls = "vision" in model.capabilities, "tools" in model.capabilities
    ids = [picture.id for message in shown for picture in pictures.get(message.id, ())] if sees else []
    images = await attachment_store.images(driver, ids) if ids else {}
    turns: list[Turn] = []
    for message, following in zip_longest(shown, shown[1:]):
        results = _results(following) if calls and following else ()
        answered = {result.call_id for result in results}
        turn = Turn(
            message.author,
            message.text,
            images=[images[picture.id] for picture in pictures.get(message.id, ()) if picture.id in images],
            calls=[call for call in calls_of(message, model=model) if call.id in answered],
            results=_results(message) if calls and message is not shown[0] else (),
        )
        # An answer that is still being written, or that never came, says nothing.
        if turn.text or turn.images or turn.calls or turn.results:
            turns.append(turn)
    return turns


def _results(message: Message) -> Sequence[Result]:
    return [Result(**result) for result in message.tool_results or ()]


def _tokens_of(message: Message, *, images: int) -> int:
    """About how many tokens a message has, with all that comes with it."""
    brought = [*(call.arguments for call in calls_of(message)), *(result.text for result in _results(message))]
    return _tokens(message.text) + sum(map(_tokens, brought)) + images * _IMAGE_TOKENS


def tokens_of(asked: Prompt, *, model: Model) -> int:
    """About how many tokens the prompt has; what does not fit into the window is never counted."""
    texts = [asked.system, *(json.dumps([tool.description, tool.parameters]) for tool in asked.tools)]
    images = 0
    for turn in asked.turns:
        texts += [turn.text, *(call.arguments for call in turn.calls), *(result.text for result in turn.results)]
        images += len(turn.images)
    return min(sum(map(_tokens, texts)) + images * _IMAGE_TOKENS, model.context_tokens)


def refuse_too_long(asked: Prompt, *, model: Model) -> None:
    """Raises InvalidArgument (CONTEXT_OVERFLOW) when the question cannot fit, however few tokens it is."""
    system, question = len(asked.system.encode()), len(asked.turns[-1].text.encode())
    most = (model.context_tokens - 1) * _MOST_BYTES_PER_TOKEN
    if system + question > most:
        told = f"is too long for {model.id}: at most {max(most - system, 0)} bytes beside the system prompt"
        raise InvalidArgument.of("message", told, reason="CONTEXT_OVERFLOW")


def _room(model: Model) -> int:
    """Tokens of the window that are left for the prompt."""
    return model.context_tokens - model.max_output_tokens - model.context_tokens // _MARGIN


def _tokens(text: str) -> int:
    return len(text.encode()) // _BYTES_PER_TOKEN + _TURN_TOKENS
