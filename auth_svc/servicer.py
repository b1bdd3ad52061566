"""The RPCs of AuthService, one method each. Those that are not here are not served yet."""

from urllib.parse import unquote

from chatmesh.auth.v1 import auth_pb2 as pb
from chatmesh.auth.v1.auth_pb2_grpc import AuthServiceServicer

from auth_svc import models, signing_keys
from auth_svc.accounts import Accounts
from auth_svc.sessions import LONGEST_LIFE, Client, Sessions, SignedIn
from svckit import identity
from svckit.errors import Unauthenticated
from svckit.identity import Role
from svckit.postgres import Database
from svckit.rpc.call import Context
from svckit.timestamps import timestamp

# Said to everybody who signs up or asks for a mail, whether or not one is sent.
_SEE_MAIL = "If this address can be used, a mail is on its way to it: open the link in it to go on."

_LONGEST_USER_AGENT = 500
_ROLES = {Role.USER: pb.ROLE_USER, Role.ANALYST: pb.ROLE_ANALYST, Role.ADMIN: pb.ROLE_ADMIN}


class Auth(AuthServiceServicer):
    """Serves accounts and sessions. `secure_cookies`: browsers send the cookie over HTTPS only."""

    def __init__(self, *, accounts: Accounts, sessions: Sessions, database: Database, secure_cookies: bool) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._database = database
        self._secure_cookies = secure_cookies

    async def SignUp(self, request: pb.SignUpRequest, context: Context) -> pb.SignUpResponse:
        """200, not 201: it must not say whether something was created."""
        await self._accounts.sign_up(email=request.email, password=request.password, name=request.name)
        return pb.SignUpResponse(message=_SEE_MAIL)

    async def SignIn(self, request: pb.SignInRequest, context: Context) -> pb.SignInResponse:
        signed_in = await self._sessions.sign_in(
            email=request.email, password=request.password, client=_client(context)
        )
        await self._set_cookie(context, signed_in.session.value, seconds=int(LONGEST_LIFE.total_seconds()))
        return pb.SignInResponse(user=_user(signed_in.user), tokens=_tokens(signed_in))

    async def SignOut(self, request: pb.SignOutRequest, context: Context) -> pb.SignOutResponse:
        await self._sessions.sign_out(identity.current().session_id, user_id=identity.user_id())
        await self._set_cookie(context, "", seconds=0)
        return pb.SignOutResponse()

    async def GetMe(self, request: pb.GetMeRequest, context: Context) -> pb.GetMeResponse:
        return pb.GetMeResponse(user=_user(await self._accounts.find(identity.user_id())))

    async def VerifyEmail(self, request: pb.VerifyEmailRequest, context: Context) -> pb.VerifyEmailResponse:
        return pb.VerifyEmailResponse(user=_user(await self._accounts.verify_email(request.token)))

    async def ResendVerification(
        self, request: pb.ResendVerificationRequest, context: Context
    ) -> pb.ResendVerificationResponse:
        await self._accounts.resend_verification(request.email)
        return pb.ResendVerificationResponse(message=_SEE_MAIL)

    async def ForgotPassword(self, request: pb.ForgotPasswordRequest, context: Context) -> pb.ForgotPasswordResponse:
        await self._accounts.forgot_password(request.email)
        return pb.ForgotPasswordResponse(message=_SEE_MAIL)

    async def ResetPassword(self, request: pb.ResetPasswordRequest, context: Context) -> pb.ResetPasswordResponse:
        await self._accounts.reset_password(token=request.token, password=request.password)
        return pb.ResetPasswordResponse()

    async def ListSigningKeys(self, request: pb.ListSigningKeysRequest, context: Context) -> pb.ListSigningKeysResponse:
        keys = await signing_keys.published(self._database)
        return pb.ListSigningKeysResponse(keys=[_signing_key(key) for key in keys])

    async def ExchangeSession(self, request: pb.ExchangeSessionRequest, context: Context) -> pb.ExchangeSessionResponse:
        if request.WhichOneof("credential") == "api_key":
            raise Unauthenticated("the API key is unknown", reason="API_KEY_INVALID")
        session_id, access = await self._sessions.exchange(request.session_token)
        return pb.ExchangeSessionResponse(
            access_token=access.value, expire_time=timestamp(access.expires_at), session_id=session_id
        )

    async def _set_cookie(self, context: Context, value: str, *, seconds: int) -> None:
        secure = "; Secure" if self._secure_cookies else ""
        cookie = f"session={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
        await context.send_initial_metadata((("set-cookie", cookie),))


def _client(context: Context) -> Client:
    """Who opens a session: as the edge says if it is the edge that calls, else who is at the other end."""
    metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    if identity.current().service:
        user_agent, ip_address = metadata.get("x-client-user-agent", ""), metadata.get("x-client-ip", "")
    else:
        user_agent, ip_address = metadata.get("user-agent", ""), _host(context.peer())
    return Client(user_agent=user_agent[:_LONGEST_USER_AGENT], ip_address=ip_address)


def _host(peer: str) -> str:
    """The address in gRPC's `ipv4:127.0.0.1:50000` or `ipv6:%5B::1%5D:50000`."""
    return unquote(peer).partition(":")[2].rpartition(":")[0].strip("[]")


def _user(user: models.User) -> pb.User:
    return pb.User(
        id=user.id,
        email=user.email,
        name=user.name,
        role=_ROLES[user.as_role],
        email_verified=user.verified,
        disabled=user.disabled_at is not None,
        create_time=timestamp(user.created_at),
    )


def _tokens(signed_in: SignedIn) -> pb.TokenPair:
    return pb.TokenPair(
        access_token=signed_in.access.value,
        access_token_expire_time=timestamp(signed_in.access.expires_at),
        refresh_token=signed_in.refresh.value,
        refresh_token_expire_time=timestamp(signed_in.refresh.expires_at),
    )


def _signing_key(key: models.StoredKey) -> pb.SigningKey:
    return pb.SigningKey(kty="OKP", crv="Ed25519", use="sig", alg="EdDSA", kid=key.kid, x=key.x)
