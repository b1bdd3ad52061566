"""RPCs of administrators."""

from dataclasses import dataclass

from chatmesh.auth.v1 import auth_pb2 as pb
from chatmesh.auth.v1.auth_pb2_grpc import AuthServiceServicer

from auth_svc.administration import Administration
from auth_svc.servicer.bridge import audit_event_message, caller_of, role_of, user_message
from svckit import paging
from svckit.rpc.call import Context


@dataclass(kw_only=True, eq=False)
class AdministrationRpcs(AuthServiceServicer):
    """Serves administrators."""

    administration: Administration

    async def ListUsers(self, request: pb.ListUsersRequest, context: Context) -> pb.ListUsersResponse:
        size, before = paging.size_of(request.page_size), paging.last_id(request.page_token)
        rows = await self.administration.list_users(query=request.query, limit=size + 1, before=before)
        return pb.ListUsersResponse(
            users=[user_message(row) for row in rows[:size]],
            next_page_token=paging.token(rows[size - 1].id) if len(rows) > size else "",
        )

    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.GetUserResponse:
        return pb.GetUserResponse(user=user_message(await self.administration.get_user(request.user_id)))

    async def UpdateUser(self, request: pb.UpdateUserRequest, context: Context) -> pb.UpdateUserResponse:
        user = await self.administration.update_user(
            request.user_id,
            role=role_of(request.role) if request.HasField("role") else None,
            disabled=request.disabled if request.HasField("disabled") else None,
            caller=caller_of(context),
        )
        return pb.UpdateUserResponse(user=user_message(user))

    async def ListAuditEvents(self, request: pb.ListAuditEventsRequest, context: Context) -> pb.ListAuditEventsResponse:
        size, before = paging.size_of(request.page_size), paging.last_id(request.page_token)
        rows = await self.administration.list_audit_events(
            user_id=request.user_id, type_=request.type, limit=size + 1, before=before
        )
        return pb.ListAuditEventsResponse(
            audit_events=[audit_event_message(row) for row in rows[:size]],
            next_page_token=paging.token(rows[size - 1].id) if len(rows) > size else "",
        )
