"""What is measured: four requests, each with the answer that the backend has ready for it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chatmesh.chat.v1 import chat_pb2 as pb
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

SERVICE = pb.DESCRIPTOR.services_by_name["ChatService"].full_name

_CONVERSATION = "0199c2f4-7a10-7c3e-9d55-3f1b8a6f2e01"
_MESSAGE = "0199c2f4-7a10-7c3e-9d55-3f1b8a6f2e{:02x}"
_TIME = Timestamp(seconds=1_790_000_000)
_CHUNKS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One request over HTTP and the same over gRPC. A row with several replies is a server stream.

    `count` is how often a round sends it: enough for the clock of /proc, which ticks every 10 ms.
    """

    name: str
    verb: str
    path: str
    body: bytes = b""
    rpc: str
    request: Message
    replies: Sequence[Message]
    count: int

    @property
    def streams(self) -> bool:
        return len(self.replies) > 1

    @property
    def accept(self) -> str:
        return "text/event-stream" if self.streams else "application/json"

    @property
    def method(self) -> str:
        """The RPC's gRPC path."""
        return f"/{SERVICE}/{self.rpc}"

    def headers(self, token: str) -> dict[str, str]:
        """The HTTP request's headers, as a program of ours would send them."""
        body = {"Content-Type": "application/json", "Content-Length": str(len(self.body))} if self.body else {}
        return {"Accept": self.accept, "Authorization": f"Bearer {token}", "User-Agent": "chatmesh-bench", **body}


def _conversation() -> pb.Conversation:
    return pb.Conversation(
        id=_CONVERSATION,
        title="Why the sky is blue",
        system_prompt="Answer in one paragraph.",
        provider="local",
        model="smollm2-135m",
        create_time=_TIME,
        update_time=_TIME,
        active_message_id=_MESSAGE.format(20),
    )


def _message(number: int) -> pb.Message:
    return pb.Message(
        id=_MESSAGE.format(number),
        conversation_id=_CONVERSATION,
        parent_id=_MESSAGE.format(number - 1) if number else "",
        author=pb.AUTHOR_ASSISTANT if number % 2 else pb.AUTHOR_USER,
        text="Sunlight meets the air, and the air scatters short waves, the blue ones, more than long ones. " * 2,
        state=pb.STATE_DONE,
        provider="local",
        model="smollm2-135m",
        generation_id=_MESSAGE.format(number + 100),
        finish_reason=pb.FINISH_REASON_STOP,
        usage=pb.TokenUsage(input_tokens=310 + number, output_tokens=42, cost_micros=77),
        create_time=_TIME,
    )


def _events() -> list[pb.StreamMessageResponse]:
    """A generation's events: its start, its text in small pieces, its end."""
    start = pb.MessageStart(
        generation_id=_MESSAGE.format(100),
        conversation_id=_CONVERSATION,
        user_message_id=_MESSAGE.format(1),
        message_id=_MESSAGE.format(2),
        provider="local",
        model="smollm2-135m",
    )
    texts = [pb.GenerationEvent(sequence=number, delta=pb.Delta(text=" scattered")) for number in range(1, _CHUNKS - 1)]
    end = pb.GenerationEvent(sequence=_CHUNKS - 1, message_end=pb.MessageEnd(finish_reason=pb.FINISH_REASON_STOP))
    events = [pb.GenerationEvent(message_start=start), *texts, end]
    return [pb.StreamMessageResponse(event=event) for event in events]


def _json(**members: str) -> bytes:
    return json.dumps(members).encode()


_ROWS = (
    Row(
        name="small GET",
        verb="GET",
        path=f"/api/conversations/{_CONVERSATION}",
        rpc="GetConversation",
        request=pb.GetConversationRequest(conversation_id=_CONVERSATION),
        replies=[pb.GetConversationResponse(conversation=_conversation())],
        count=4000,
    ),
    Row(
        name="POST with a JSON body",
        verb="POST",
        path="/api/conversations",
        body=_json(title="Why the sky is blue", systemPrompt="Answer in one paragraph.", model="smollm2-135m"),
        rpc="CreateConversation",
        request=pb.CreateConversationRequest(
            title="Why the sky is blue", system_prompt="Answer in one paragraph.", model="smollm2-135m"
        ),
        replies=[pb.CreateConversationResponse(conversation=_conversation())],
        count=4000,
    ),
    Row(
        name="page of 20 messages",
        verb="GET",
        path=f"/api/conversations/{_CONVERSATION}/messages?pageSize=20",
        rpc="ListMessages",
        request=pb.ListMessagesRequest(conversation_id=_CONVERSATION, page_size=20),
        replies=[pb.ListMessagesResponse(messages=map(_message, range(20)), next_page_token="next")],  # noqa: S106 - of a page
        count=3000,
    ),
    Row(
        name=f"stream of {_CHUNKS} chunks",
        verb="POST",
        path="/api/chat",
        body=_json(conversationId=_CONVERSATION, message="Why is the sky blue?"),
        rpc="StreamMessage",
        request=pb.StreamMessageRequest(conversation_id=_CONVERSATION, message="Why is the sky blue?"),
        replies=_events(),
        count=128,
    ),
)
ROWS: Mapping[str, Row] = {row.name: row for row in _ROWS}
