"""The tool calls of an answer: put together from pieces, and from the events that told of them."""

from collections.abc import Iterable, Sequence

from chatmesh.chat.v1 import chat_pb2
from chatmesh.chat.v1.chat_pb2 import GenerationEvent

from chat_svc.providers import Call, CallPiece, ProviderError
from chat_svc.texts import clean

# Characters of an answer's text, and of its calls. No model writes as many; a provider that does not end would fill the
# memory, and a page that shows the answer must fit into a gRPC message.
MOST_WRITTEN = 2_000_000


class CallPieces:
    """The calls of one answer, as far as they have come."""

    def __init__(self) -> None:
        self._calls: dict[int, chat_pb2.ToolCall] = {}
        self._signatures: dict[int, str] = {}
        self._length = 0

    def take(self, piece: CallPiece) -> chat_pb2.ToolCallDelta:
        """Take the next piece in, and give it as the event that tells of it. Raises ProviderError without an end."""
        delta = chat_pb2.ToolCallDelta(
            index=piece.index, id=clean(piece.id), name=clean(piece.name), arguments=clean(piece.arguments)
        )
        call = self._calls.setdefault(piece.index, chat_pb2.ToolCall(id=delta.id, name=delta.name))
        call.arguments += delta.arguments
        self._length += len(delta.arguments)
        if self._length > MOST_WRITTEN:
            raise ProviderError("upstream_truncated", "the tool calls have no end")
        if piece.signature:
            self._signatures[piece.index] = piece.signature
        return delta

    @property
    def said(self) -> str:
        """All that the model has written for them, to be counted."""
        return "".join(call.name + call.arguments for call in self._calls.values())

    def whole(self) -> Sequence[Call]:
        """The calls, once no more will come."""
        return [
            Call(call.id, call.name, call.arguments, self._signatures.get(index, ""))
            for index, call in sorted(self._calls.items())
        ]


def merged(events: Iterable[GenerationEvent]) -> Sequence[GenerationEvent]:
    """The events, those that only carry on the one before in one with it."""
    found: list[GenerationEvent] = []
    for event in events:
        if found and event.HasField("delta") and found[-1].HasField("delta"):
            found[-1].delta.text += event.delta.text
        elif found and _carries_on(event, found[-1]):
            found[-1].tool_call.arguments += event.tool_call.arguments
        else:
            found.append(event)
    return found


def _carries_on(event: GenerationEvent, before: GenerationEvent) -> bool:
    """Whether both are of the same tool call, and `event` is not its first."""
    same = event.HasField("tool_call") and before.HasField("tool_call")
    return same and event.tool_call.index == before.tool_call.index and not event.tool_call.id
