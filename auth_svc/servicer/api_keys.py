"""RPCs about API keys."""

from dataclasses import dataclass
from datetime import UTC

from chatmesh.auth.v1 import auth_pb2 as pb
from chatmesh.auth.v1.auth_pb2_grpc import AuthServiceServicer

from auth_svc.api_keys import ApiKeys
from auth_svc.servicer.bridge import NO_STORE, api_key_message, caller_of
from svckit import identity, paging
from svckit.rpc.call import Context


@dataclass(kw_only=True, eq=False)
class ApiKeyRpcs(AuthServiceServicer):
    """Serves API keys; each caller sees their own."""

    api_keys: ApiKeys

    async def CreateApiKey(self, request: pb.CreateApiKeyRequest, context: Context) -> pb.CreateApiKeyResponse:
        expires_at = request.expire_time.ToDatetime(UTC) if request.HasField("expire_time") else None
        made = await self.api_keys.make(name=request.name, expires_at=expires_at, caller=caller_of(context))
        await context.send_initial_metadata((NO_STORE,))
        return pb.CreateApiKeyResponse(api_key=api_key_message(made.key), secret=made.secret)

    async def ListApiKeys(self, request: pb.ListApiKeysRequest, context: Context) -> pb.ListApiKeysResponse:
        size, before = paging.size_of(request.page_size), paging.last_id(request.page_token)
        rows = await self.api_keys.list_own(identity.user_id(), limit=size + 1, before=before)
        return pb.ListApiKeysResponse(
            api_keys=[api_key_message(row) for row in rows[:size]],
            next_page_token=paging.token(rows[size - 1].id) if len(rows) > size else "",
        )

    async def DeleteApiKey(self, request: pb.DeleteApiKeyRequest, context: Context) -> pb.DeleteApiKeyResponse:
        await self.api_keys.delete(request.api_key_id, caller_of(context))
        return pb.DeleteApiKeyResponse()
