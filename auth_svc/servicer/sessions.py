"""RPCs about sessions: opening, proving and ending them."""

from dataclasses import dataclass

from chatmesh.auth.v1 import auth_pb2 as pb
from chatmesh.auth.v1.auth_pb2_grpc import AuthServiceServicer

from auth_svc.servicer.bridge import client_of, set_cookie, token_pair, user_message
from auth_svc.sessions import LONGEST_LIFE, Sessions
from svckit import identity
from svckit.errors import Unauthenticated
from svckit.rpc.call import Context
from svckit.timestamps import timestamp


@dataclass(kw_only=True, eq=False)
class SessionRpcs(AuthServiceServicer):
    """Serves sessions. `secure_cookies`: browsers send the cookie over HTTPS only."""

    sessions: Sessions
    secure_cookies: bool

    async def SignIn(self, request: pb.SignInRequest, context: Context) -> pb.SignInResponse:
        signed_in = await self.sessions.sign_in(
            email=request.email, password=request.password, client=client_of(context)
        )
        seconds = int(LONGEST_LIFE.total_seconds())
        await set_cookie(context, signed_in.session.value, seconds=seconds, secure=self.secure_cookies)
        return pb.SignInResponse(user=user_message(signed_in.user), tokens=token_pair(signed_in))

    async def SignOut(self, request: pb.SignOutRequest, context: Context) -> pb.SignOutResponse:
        await self.sessions.sign_out(identity.current().session_id, user_id=identity.user_id())
        await set_cookie(context, "", seconds=0, secure=self.secure_cookies)
        return pb.SignOutResponse()

    async def ExchangeSession(self, request: pb.ExchangeSessionRequest, context: Context) -> pb.ExchangeSessionResponse:
        if request.WhichOneof("credential") == "api_key":
            raise Unauthenticated("the API key is unknown", reason="API_KEY_INVALID")
        session_id, access = await self.sessions.exchange(request.session_token)
        return pb.ExchangeSessionResponse(
            access_token=access.value, expire_time=timestamp(access.expires_at), session_id=session_id
        )
