"""What requests that have an answer written, or go on with one, say."""

from chatmesh.chat.v1 import chat_pb2 as pb

from chat_svc.parts import read_parts, read_tools
from chat_svc.texts import clean
from chat_svc.wishes import Draft
from svckit import identity
from svckit.errors import InvalidArgument
from svckit.rpc.call import Context


def last_event_id(context: Context) -> int:
    """The sequence of the last event that the client has seen, as browsers send it when they connect again; else -1."""
    for key, value in context.invocation_metadata() or ():
        if key == "last-event-id" and value:
            if not (isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18):
                raise InvalidArgument("Last-Event-ID: must be the id of an event")
            return int(value)
    return -1


def draft_of(request: pb.SendMessageRequest | pb.StreamMessageRequest) -> Draft:
    """The message of a request, its texts clean. Raises InvalidArgument."""
    text = clean(request.message)
    if not text and not request.parts:
        raise InvalidArgument.of("message", "must have a character that is not NUL, unless there are parts")
    images, results = read_parts(request.parts)
    return Draft(
        owner_id=identity.user_id(),
        text=text,
        conversation_id=request.conversation_id,
        provider=request.provider,
        model=request.model,
        parent_id=request.parent_id if request.HasField("parent_id") else None,
        idempotency_key=clean(request.idempotency_key),
        images=images,
        results=results,
        toolbox=read_tools(request.tools, request.tool_choice),
    )
