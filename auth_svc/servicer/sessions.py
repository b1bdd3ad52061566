"""RPCs about sessions: opening, proving and ending them."""

from dataclasses import dataclass

from chatmesh.auth.v1 import auth_pb2 as pb
from chatmesh.auth.v1.auth_pb2_grpc import AuthServiceServicer

from auth_svc.api_keys import ApiKeys
from auth_svc.challenges import Challenged
from auth_svc.refreshing import Refreshing
from auth_svc.servicer.bridge import (
    NO_STORE,
    caller_of,
    challenge_message,
    forget_session,
    keep_signed_in,
    session_message,
    token_pair,
    user_message,
)
from auth_svc.sessions import Sessions
from svckit import identity, paging
from svckit.rpc.call import Context
from svckit.timestamps import timestamp


@dataclass(kw_only=True, eq=False)
class SessionRpcs(AuthServiceServicer):
    """Serves sessions. `secure_cookies`: browsers send the cookie over HTTPS only."""

    sessions: Sessions
    refreshing: Refreshing
    api_keys: ApiKeys
    secure_cookies: bool

    async def SignIn(self, request: pb.SignInRequest, context: Context) -> pb.SignInResponse:
        entered = await self.sessions.sign_in(email=request.email, password=request.password, caller=caller_of(context))
        if isinstance(entered, Challenged):
            await context.send_initial_metadata((NO_STORE,))
            return pb.SignInResponse(mfa_required=challenge_message(entered))
        await keep_signed_in(context, entered, secure=self.secure_cookies)
        return pb.SignInResponse(user=user_message(entered.user), tokens=token_pair(entered.tokens))

    async def SignOut(self, request: pb.SignOutRequest, context: Context) -> pb.SignOutResponse:
        await self.sessions.sign_out(caller_of(context))
        await forget_session(context, secure=self.secure_cookies)
        return pb.SignOutResponse()

    async def RefreshToken(self, request: pb.RefreshTokenRequest, context: Context) -> pb.RefreshTokenResponse:
        tokens = await self.refreshing.refresh(request.refresh_token, caller_of(context))
        await context.send_initial_metadata((NO_STORE,))
        return pb.RefreshTokenResponse(tokens=token_pair(tokens))

    async def ListSessions(self, request: pb.ListSessionsRequest, context: Context) -> pb.ListSessionsResponse:
        size, before = paging.size_of(request.page_size), paging.last_id(request.page_token)
        rows = await self.sessions.list_own(identity.user_id(), limit=size + 1, before=before)
        current = identity.current().session_id
        return pb.ListSessionsResponse(
            sessions=[session_message(row, current=current) for row in rows[:size]],
            next_page_token=paging.token(rows[size - 1].id) if len(rows) > size else "",
        )

    async def RevokeSession(self, request: pb.RevokeSessionRequest, context: Context) -> pb.RevokeSessionResponse:
        await self.sessions.revoke(request.session_id, caller_of(context))
        return pb.RevokeSessionResponse()

    async def RevokeOtherSessions(
        self, request: pb.RevokeOtherSessionsRequest, context: Context
    ) -> pb.RevokeOtherSessionsResponse:
        return pb.RevokeOtherSessionsResponse(revoked=await self.sessions.revoke_others(caller_of(context)))

    async def ExchangeSession(self, request: pb.ExchangeSessionRequest, context: Context) -> pb.ExchangeSessionResponse:
        if request.WhichOneof("credential") == "api_key":
            session_id, access = await self.api_keys.exchange(request.api_key)
        else:
            session_id, access = await self.sessions.exchange(request.session_token)
        return pb.ExchangeSessionResponse(
            access_token=access.value, expire_time=timestamp(access.expires_at), session_id=session_id
        )
