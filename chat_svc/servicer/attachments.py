"""RPCs of attachments; each caller sees their own."""

from dataclasses import dataclass

from chatmesh.chat.v1 import chat_pb2 as pb
from chatmesh.chat.v1.chat_pb2_grpc import ChatServiceServicer
from google.api.httpbody_pb2 import HttpBody

from chat_svc import attachment_store
from svckit import identity
from svckit.errors import NotFound
from svckit.postgres import Database
from svckit.rpc.call import Context


@dataclass(kw_only=True, eq=False)
class AttachmentRpcs(ChatServiceServicer):
    """Serves attachments."""

    database: Database

    async def GetAttachment(self, request: pb.GetAttachmentRequest, context: Context) -> pb.GetAttachmentResponse:
        async with self.database.transaction() as session:
            found = await attachment_store.find(session, request.attachment_id, owner_id=identity.user_id())
        if found is None:
            raise NotFound("no such attachment")
        name = f"{request.attachment_id}.{found.media_type.removeprefix('image/')}"
        await context.send_initial_metadata((("content-disposition", f'inline; filename="{name}"'),))
        return pb.GetAttachmentResponse(body=HttpBody(content_type=found.media_type, data=found.data))
