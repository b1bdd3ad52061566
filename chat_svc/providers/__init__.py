"""Those who run the models: what each of them gives and how it fails, in one vocabulary.

One module a wire, by the vendor's SDK with its retries off; `patience` is the one policy for time-outs and retries.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, TypeAlias

from chat_svc.models import Author, FinishReason


@dataclass(frozen=True, slots=True)
class Image:
    """An image, whole, such as `image/png`."""

    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Call:
    """A tool that a model asked for. `arguments` is JSON as the model wrote it, so it may be wrong.

    `signature`, in base64, is for the very model that wrote it; empty: it wants none, or another one is asked.
    """

    id: str
    name: str
    arguments: str
    signature: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What the tool of the call with that id gave."""

    call_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the prompt. Users bring images and results, assistants make calls."""

    author: Author
    text: str
    images: Sequence[Image] = ()
    calls: Sequence[Call] = ()
    results: Sequence[Result] = ()


@dataclass(frozen=True, slots=True)
class Tool:
    """What a model may ask for; `parameters` is the JSON Schema of its arguments, an object."""

    name: str
    description: str
    parameters: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What a model is asked: `system` may be empty, `turns` are oldest first.

    `tool_choice` is `auto`, `none`, `required` or the name of a tool. Of the rest, None and empty leave the choice to
    the provider.
    """

    model: str
    system: str
    turns: Sequence[Turn]
    max_output_tokens: int
    tools: Sequence[Tool] = ()
    tool_choice: str = "auto"
    temperature: float | None = None
    top_p: float | None = None
    stop: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Text:
    """More text of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class CallPiece:
    """More of the answer's tool call of that index, from 0; the first piece of each has the id and the name.

    One of them may have the `signature`; see Call.
    """

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    signature: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the provider counted. Cached and cache-written tokens are part of the input, reasoning of the output."""

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Finish:
    """The model has stopped writing, and why."""

    reason: FinishReason


Part: TypeAlias = Text | CallPiece | Usage | Finish


class ProviderError(Exception):
    """The answer broke off; `code` is one of failures.py, the message is for the log.

    `retry_after` is how long the provider asks to be left alone.
    """

    def __init__(self, code: str, detail: str, *, retry_after: timedelta = timedelta(0)) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.retry_after = retry_after


class Provider(Protocol):
    """Somebody who runs models."""

    def answer(self, prompt: Prompt) -> AsyncGenerator[Sequence[Part], None]:
        """The parts of an answer, as many at a time as have come; of several Usage the last counts.

        A Finish is among them. Whoever takes a while before the next step finds more parts in it. Raises ProviderError.
        Cancelling the task that reads it, or closing it, ends the call to the provider at once.
        """

    async def close(self) -> None:
        """Give the connections back."""


class Wire(Provider, Protocol):
    """A provider by its vendor's SDK, whose import takes a second or more."""

    async def prepare(self) -> None:
        """Have the SDK ready before it is asked for an answer; else the first answer waits for it."""
