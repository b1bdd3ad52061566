"""What a message brings besides its text, and the tools that its answer may ask for, as the contract says them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from chatmesh.chat.v1 import chat_pb2 as pb
from google.protobuf.json_format import MessageToDict

from chat_svc.images import MOST_IMAGES, read_image
from chat_svc.providers import Call, Image, Result, Tool
from chat_svc.texts import clean
from svckit.errors import InvalidArgument

_CHOICES = ("auto", "none", "required")
_NO_ARGUMENTS: Mapping[str, object] = {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True)
class Toolbox:
    """The tools that an answer may ask for, and whether it must: see `Prompt`."""

    tools: Sequence[Tool] = ()
    choice: str = "auto"

    def kept(self) -> Mapping[str, Any] | None:
        """As a generation's row keeps it."""
        return {"tools": [asdict(tool) for tool in self.tools], "choice": self.choice} if self.tools else None

    @staticmethod
    def of(kept: Mapping[str, Any] | None) -> "Toolbox":
        """The reverse of `kept`."""
        return Toolbox([Tool(**tool) for tool in kept["tools"]], kept["choice"]) if kept else Toolbox()


NO_TOOLS = Toolbox()


def read_parts(parts: Sequence[pb.ContentPart]) -> tuple[Sequence[Image], Sequence[Result]]:
    """The images and tool results of a message. Raises InvalidArgument."""
    images: list[Image] = []
    results: list[Result] = []
    for index, part in enumerate(parts):
        match part.WhichOneof("part"):
            case "image":
                images.append(read_image(part.image.data, field=f"parts[{index}].image.data"))
            case "tool_result":
                told = part.tool_result
                results.append(Result(clean(told.tool_call_id), clean(told.text)))
            case _:
                raise InvalidArgument.of(f"parts[{index}]", "must be an image or a tool result")
    if len(images) > MOST_IMAGES:
        raise InvalidArgument.of("parts", f"must have at most {MOST_IMAGES} images", reason="TOO_MANY_IMAGES")
    return images, results


def read_tools(tools: Sequence[pb.Tool], choice: str) -> Toolbox:
    """The tools of a request. Raises InvalidArgument."""
    names = [tool.name for tool in tools]
    for index, name in enumerate(names):
        if name in names[:index] or name in _CHOICES:
            raise InvalidArgument.of(f"tools[{index}].name", "must be unlike those of other tools, and no tool_choice")
    if choice and choice not in (*_CHOICES, *names):
        raise InvalidArgument.of("tool_choice", "must be auto, none, required or the name of one of the tools")
    return Toolbox([_tool(tool) for tool in tools], choice or "auto")


def refuse_unasked(results: Sequence[Result], calls: Sequence[Call]) -> None:
    """Raises InvalidArgument for a result that no call of the answer before has asked for."""
    known = {call.id for call in calls}
    for result in results:
        if result.call_id not in known:
            raise InvalidArgument.of(
                "parts", f"{result.call_id!r} is no tool call of the message that this one answers"
            )


def _tool(tool: pb.Tool) -> Tool:
    parameters = MessageToDict(tool.parameters) if tool.HasField("parameters") else _NO_ARGUMENTS
    return Tool(tool.name, clean(tool.description), parameters)
