"""Our events as OpenAI's answer: one document, or chunks in a stream of server-sent events."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from chatmesh.chat.v1 import chat_pb2 as pb

from chat_svc.calls import CallPieces
from chat_svc.completions.reading import Asked
from chat_svc.models import Generation
from chat_svc.providers import CallPiece

PING = b": ping\n\n"
_DONE = b"data: [DONE]\n\n"
_FINISH: Mapping[int, str] = {
    pb.FINISH_REASON_STOP: "stop",
    pb.FINISH_REASON_LENGTH: "length",
    pb.FINISH_REASON_TOOL_CALLS: "tool_calls",
    pb.FINISH_REASON_CONTENT_FILTER: "content_filter",
}
# Ends of answers that are not whole, and that nobody who waits for one has asked for.
STOPPED = frozenset({pb.FINISH_REASON_CANCELLED, pb.FINISH_REASON_UNREAD})


async def document(events: AsyncIterator[pb.GenerationEvent], generation: Generation) -> bytes:
    """The whole answer. The last event must be its end."""
    text: list[str] = []
    calls, usage, finish, model = CallPieces(), pb.TokenUsage(), "stop", generation.model
    async for event in events:
        match event.WhichOneof("event"):
            case "delta":
                text.append(event.delta.text)
            case "tool_call":
                piece = event.tool_call
                calls.take(CallPiece(piece.index, piece.id, piece.name, piece.arguments))
            case "usage":
                usage = event.usage
            case "model_change":
                model = event.model_change.model
            case "message_end":
                finish = _finish(event.message_end)
    message: dict[str, Any] = {"role": "assistant", "content": "".join(text) or None, "refusal": None}
    if made := calls.whole():
        message["tool_calls"] = [_call(call.id, call.name, call.arguments) for call in made]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    head = _head(generation, "chat.completion", model)
    return _json({**head, "choices": [choice], "usage": _usage(usage)})


class Chunks:
    """The stream of one answer, event by event."""

    def __init__(self, generation: Generation, asked: Asked) -> None:
        self._generation = generation
        self._include_usage = asked.include_usage
        self._model = generation.model
        self._usage = pb.TokenUsage()

    def begin(self) -> bytes:
        """The chunk that comes before all others."""
        return self._chunk({"role": "assistant", "content": ""})

    def of(self, event: pb.GenerationEvent) -> Iterator[bytes]:
        """What is sent for an event."""
        match event.WhichOneof("event"):
            case "delta":
                yield self._chunk({"content": event.delta.text})
            case "tool_call":
                yield self._chunk({"tool_calls": [_piece(event.tool_call)]})
            case "usage":
                self._usage = event.usage
            case "model_change":
                self._model = event.model_change.model
            case "message_end":
                yield from self._end(event.message_end)
            case "error":
                yield _event({"error": error_of(event.error.code, event.error.message)})

    def _end(self, end: pb.MessageEnd) -> Iterator[bytes]:
        if end.finish_reason in STOPPED:  # a part that looked whole would be taken for whole
            yield _event({"error": error_of("cancelled", "the answer was stopped")})
            return
        yield self._chunk({}, finish=_finish(end))
        if self._include_usage:
            head = _head(self._generation, "chat.completion.chunk", self._model)
            yield _event({**head, "choices": [], "usage": _usage(self._usage)})
        yield _DONE

    def _chunk(self, delta: Mapping[str, Any], *, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunk = {**_head(self._generation, "chat.completion.chunk", self._model), "choices": [choice]}
        return _event({**chunk, "usage": None} if self._include_usage else chunk)


def error_of(code: str, message: str) -> Mapping[str, Any]:
    """An error in the midst of a stream, where no status can say it."""
    return {"message": message, "type": "server_error", "param": None, "code": code}


def _head(generation: Generation, kind: str, model: str) -> Mapping[str, Any]:
    created = int(generation.created_at.timestamp())
    return {"id": f"chatcmpl-{generation.id}", "object": kind, "created": created, "model": model}


def _finish(end: pb.MessageEnd) -> str:
    return _FINISH.get(end.finish_reason, "stop")


def _call(id: str, name: str, arguments: str) -> Mapping[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _piece(piece: pb.ToolCallDelta) -> Mapping[str, Any]:
    """The first piece of a call has all members, the others their arguments only."""
    if piece.id:
        return {"index": piece.index, **_call(piece.id, piece.name, piece.arguments)}
    return {"index": piece.index, "function": {"arguments": piece.arguments}}


def _usage(usage: pb.TokenUsage) -> Mapping[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _event(members: Mapping[str, Any]) -> bytes:
    return b"data: " + _json(members) + b"\n\n"


def _json(members: Mapping[str, Any]) -> bytes:
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()
