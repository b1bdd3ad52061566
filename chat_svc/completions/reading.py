"""OpenAI's request as a prompt of ours. What is wrong is refused with the member named as OpenAI spells it."""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from chat_svc.completions.schema import IGNORED, Message, NamedTool, Request
from chat_svc.images import MOST_IMAGES, read_image
from chat_svc.models import Author
from chat_svc.providers import Call, Image, Prompt, Result, Tool, Turn
from chat_svc.texts import clean
from svckit.errors import InvalidArgument

_MOST_STOPS, _LONGEST_STOP = 4, 100
_LONGEST = 2**31 - 1
_CHOICES = ("auto", "none", "required")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked: `prompt` names no model yet, and its longest answer may be longer than the model's."""

    model: str
    prompt: Prompt
    stream: bool
    include_usage: bool


def read(body: bytes) -> Asked:
    """What a request asks. Raises InvalidArgument."""
    request = _request(body)
    tools = _tools(request)
    return Asked(
        model=clean(request.model),
        prompt=Prompt(
            model="",
            system="\n\n".join(_system(request.messages)),
            turns=_turns(request.messages),
            max_output_tokens=request.max_completion_tokens or request.max_tokens or _LONGEST,
            tools=tools,
            tool_choice=_tool_choice(request.tool_choice, tools),
            temperature=request.temperature,
            top_p=request.top_p,
            stop=_stops(request.stop),
        ),
        stream=bool(request.stream),
        include_usage=bool(request.stream_options and request.stream_options.include_usage),
    )


def _request(body: bytes) -> Request:
    try:
        members = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidArgument("the body is no JSON", reason="MALFORMED_JSON") from None
    if not isinstance(members, dict):
        raise InvalidArgument("the body must be a JSON object")
    try:
        return Request.model_validate({name: value for name, value in members.items() if name not in IGNORED})
    except ValidationError as error:
        raise _wrong(error) from None


def _wrong(error: ValidationError) -> InvalidArgument:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"]).lstrip(".")
    if first["type"] == "extra_forbidden":
        return InvalidArgument.of(path, "is not a parameter that is known here", reason="UNKNOWN_PARAMETER")
    return InvalidArgument.of(path, first["msg"][0].lower() + first["msg"][1:])


def _system(messages: Sequence[Message]) -> Iterator[str]:
    """Wherever they stand: the wires of others have one place for them."""
    for index, message in enumerate(messages):
        if message.role in ("system", "developer"):
            yield _content(message, f"messages[{index}].content")[0]


def _turns(messages: Sequence[Message]) -> Sequence[Turn]:
    """The rest, oldest first. Results and the user's message after them are one turn, as some wires want it."""
    turns: list[Turn] = []
    results: list[Result] = []
    pictures = 0
    for index, message in enumerate(messages):
        if message.role in ("system", "developer"):
            continue
        turn = _turn(message, f"messages[{index}]")
        pictures += len(turn.images)
        if pictures > MOST_IMAGES:
            raise InvalidArgument.of(
                f"messages[{index}].content", f"at most {MOST_IMAGES} images", reason="TOO_MANY_IMAGES"
            )
        if message.role == "tool":
            results += turn.results
            continue
        if results and turn.author == Author.USER:
            turn = Turn(Author.USER, turn.text, turn.images, results=tuple(results))
        elif results:
            turns.append(Turn(Author.USER, "", results=tuple(results)))
        results = []
        turns.append(turn)
    if results:
        turns.append(Turn(Author.USER, "", results=tuple(results)))
    if not turns:
        raise InvalidArgument.of("messages", "must have one that is not of the system")
    return turns


def _turn(message: Message, path: str) -> Turn:
    silent = message.role == "assistant" and message.tool_calls and message.content is None
    text, images = ("", ()) if silent else _content(message, f"{path}.content")
    if message.role == "user":
        return Turn(Author.USER, text, images)
    if images:
        raise InvalidArgument.of(f"{path}.content", "only messages of users may have images")
    if message.role == "tool":
        if message.tool_call_id is None:
            raise InvalidArgument.of(f"{path}.tool_call_id", "must be the id of a call")
        return Turn(Author.USER, "", results=(Result(clean(message.tool_call_id), text),))
    return Turn(Author.ASSISTANT, text, calls=tuple(_calls(message)))


def _calls(message: Message) -> Iterator[Call]:
    for call in message.tool_calls or ():
        yield Call(clean(call.id), clean(call.function.name), clean(call.function.arguments))


def _content(message: Message, path: str) -> tuple[str, Sequence[Image]]:
    """The text of a message, and its images."""
    if isinstance(message.content, str):
        return clean(message.content), ()
    if not isinstance(message.content, list) or not message.content:
        raise InvalidArgument.of(path, "must be a text or a list of parts")
    texts: list[str] = []
    images: list[Image] = []
    for index, part in enumerate(message.content):
        match part:
            case {"type": "text", "text": str(text)}:
                texts.append(clean(text))
            case {"type": "image_url", "image_url": {"url": str(url)}}:
                images.append(_image(url, f"{path}[{index}].image_url.url"))
            case _:
                raise InvalidArgument.of(f"{path}[{index}]", "must be a text or an image_url part")
    return "\n\n".join(texts), images


def _image(url: str, path: str) -> Image:
    """The image that a data URL holds. Nothing is fetched from elsewhere on a caller's word."""
    head, comma, encoded = url.partition(",")
    if not (head.startswith("data:") and head.endswith(";base64") and comma):
        raise InvalidArgument.of(path, "must be a data URL in base64; images are not fetched")
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidArgument.of(path, "is no base64") from None
    return read_image(data, field=path)


def _tools(request: Request) -> Sequence[Tool]:
    found = [tool.function for tool in request.tools or ()]
    names = [tool.name for tool in found]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise InvalidArgument.of(f"tools[{index}].function.name", "is that of another tool")
    empty: Mapping[str, object] = {"type": "object", "properties": {}}
    return [Tool(tool.name, clean(tool.description or ""), tool.parameters or empty) for tool in found]


def _tool_choice(choice: Any, tools: Sequence[Tool]) -> str:
    if choice is None:
        return "auto"
    if isinstance(choice, str) and choice in _CHOICES:
        if choice == "required" and not tools:
            raise InvalidArgument.of("tool_choice", "is only allowed when tools are given")
        return choice
    try:
        name = NamedTool.model_validate(choice).function.name
    except ValidationError:
        raise InvalidArgument.of("tool_choice", "must be auto, none, required or a function") from None
    if name not in [tool.name for tool in tools]:
        raise InvalidArgument.of("tool_choice", "names none of the tools")
    return name


def _stops(stop: Any) -> Sequence[str]:
    stops = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(stops, list) or len(stops) > _MOST_STOPS:
        raise InvalidArgument.of("stop", f"must be a text or at most {_MOST_STOPS} of them")
    if not all(isinstance(each, str) and 0 < len(each) <= _LONGEST_STOP for each in stops):
        raise InvalidArgument.of("stop", f"each must have 1 to {_LONGEST_STOP} characters")
    return [clean(each) for each in stops]
