"""The members of OpenAI's request that count here. Texts are as they came."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

# They tune an answer and change nothing of its shape; models of other providers have nothing like them.
IGNORED = frozenset(
    {
        *("frequency_penalty", "logit_bias", "metadata", "parallel_tool_calls", "prediction", "presence_penalty"),
        *(
            "prompt_cache_key",
            "prompt_cache_retention",
            "reasoning_effort",
            "safety_identifier",
            "seed",
            "service_tier",
        ),
        *("store", "user", "verbosity"),
    }
)
_NAME = r"^[a-zA-Z0-9_-]{1,64}$"


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class Function(_Part):
    """A function that the model has called."""

    name: str = Field(max_length=64)
    arguments: str = Field(max_length=100_000)


class ToolCall(_Part):
    """A call that an earlier answer made."""

    id: str = Field(min_length=1, max_length=200)
    type: Literal["function"] = "function"
    function: Function


class Message(_Part):
    """A message; which members must be there depends on its role. `content` is a text or a list of parts."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Any = None
    tool_calls: list[ToolCall] | None = Field(None, max_length=128)
    tool_call_id: str | None = Field(None, min_length=1, max_length=200)


class FunctionTool(_Part):
    """A function that the model may call."""

    name: str = Field(pattern=_NAME)
    description: str | None = Field(None, max_length=4000)
    parameters: dict[str, Any] | None = None


class Tool(_Part):
    """A tool; there are no others than functions."""

    type: Literal["function"]
    function: FunctionTool


class NamedFunction(_Part):
    """The name of one of the functions."""

    name: str


class NamedTool(_Part):
    """The tool that must be called."""

    type: Literal["function"]
    function: NamedFunction


class StreamOptions(_Part):
    """What a stream says besides the answer."""

    include_usage: bool | None = None


class TextFormat(_Part):
    """Plain text: another format would need the model to keep to it."""

    type: Literal["text"]


class Request(BaseModel):
    """OpenAI's request; members that are neither here nor ignored are refused."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    model: str = Field(min_length=1, max_length=100)
    messages: list[Message] = Field(min_length=1, max_length=2000)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_completion_tokens: int | None = Field(None, ge=1)
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    stop: Any = None
    n: Literal[1] | None = None
    logprobs: Literal[False] | None = None
    modalities: list[Literal["text"]] | None = None
    response_format: TextFormat | None = None
    tools: list[Tool] | None = Field(None, max_length=128)
    tool_choice: Any = None
