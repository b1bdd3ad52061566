"""RPCs about accounts: beginning one, proving its address, replacing a forgotten password, looking at one's own."""

from dataclasses import dataclass

from chatmesh.auth.v1 import auth_pb2 as pb
from chatmesh.auth.v1.auth_pb2_grpc import AuthServiceServicer

from auth_svc.accounts import Accounts
from auth_svc.exporting import Exporting
from auth_svc.own_account import OwnAccount
from auth_svc.servicer.bridge import (
    NO_STORE,
    api_key_message,
    audit_event_message,
    caller_of,
    forget_session,
    identity_message,
    session_message,
    user_message,
)
from svckit import identity
from svckit.rpc.call import Context

# Said to everybody who signs up or asks for a mail, whether or not one is sent.
_SEE_MAIL = "If this address can be used, a mail is on its way to it: open the link in it to go on."
_AS_FILE = ("content-disposition", 'attachment; filename="chatmesh-account.json"')


@dataclass(kw_only=True, eq=False)
class AccountRpcs(AuthServiceServicer):
    """Serves accounts. `secure_cookies`: browsers send the cookie over HTTPS only."""

    accounts: Accounts
    own_account: OwnAccount
    exporting: Exporting
    secure_cookies: bool

    async def SignUp(self, request: pb.SignUpRequest, context: Context) -> pb.SignUpResponse:
        """200, not 201: it must not say whether something was created."""
        await self.accounts.sign_up(email=request.email, password=request.password, name=request.name)
        return pb.SignUpResponse(message=_SEE_MAIL)

    async def GetMe(self, request: pb.GetMeRequest, context: Context) -> pb.GetMeResponse:
        return pb.GetMeResponse(user=user_message(await self.own_account.show(identity.user_id())))

    async def UpdateMe(self, request: pb.UpdateMeRequest, context: Context) -> pb.UpdateMeResponse:
        name = request.name if request.HasField("name") else None
        return pb.UpdateMeResponse(user=user_message(await self.own_account.rename(identity.user_id(), name)))

    async def DeleteMe(self, request: pb.DeleteMeRequest, context: Context) -> pb.DeleteMeResponse:
        await self.own_account.delete(password=request.password, caller=caller_of(context))
        await forget_session(context, secure=self.secure_cookies)
        return pb.DeleteMeResponse()

    async def ExportMe(self, request: pb.ExportMeRequest, context: Context) -> pb.ExportMeResponse:
        caller = caller_of(context)
        found = await self.exporting.export(caller)
        await context.send_initial_metadata((NO_STORE, _AS_FILE))
        return pb.ExportMeResponse(
            user=user_message(found.user),
            mfa_enabled=found.mfa_enabled,
            identities=[identity_message(row) for row in found.identities],
            sessions=[session_message(row, current=caller.session_id) for row in found.sessions],
            api_keys=[api_key_message(row) for row in found.api_keys],
            audit_events=[_without_others(audit_event_message(row), caller.user_id) for row in found.audit_events],
        )

    async def VerifyEmail(self, request: pb.VerifyEmailRequest, context: Context) -> pb.VerifyEmailResponse:
        return pb.VerifyEmailResponse(
            user=user_message(await self.accounts.verify_email(request.token, caller_of(context)))
        )

    async def ResendVerification(
        self, request: pb.ResendVerificationRequest, context: Context
    ) -> pb.ResendVerificationResponse:
        await self.accounts.resend_verification(request.email)
        return pb.ResendVerificationResponse(message=_SEE_MAIL)

    async def ForgotPassword(self, request: pb.ForgotPasswordRequest, context: Context) -> pb.ForgotPasswordResponse:
        await self.accounts.forgot_password(request.email)
        return pb.ForgotPasswordResponse(message=_SEE_MAIL)

    async def ResetPassword(self, request: pb.ResetPasswordRequest, context: Context) -> pb.ResetPasswordResponse:
        await self.accounts.reset_password(token=request.token, password=request.password, caller=caller_of(context))
        return pb.ResetPasswordResponse()

    async def ChangePassword(self, request: pb.ChangePasswordRequest, context: Context) -> pb.ChangePasswordResponse:
        await self.own_account.change_password(
            current=request.current_password, new=request.new_password, caller=caller_of(context)
        )
        return pb.ChangePasswordResponse()


def _without_others(event: pb.AuditEvent, user_id: str) -> pb.AuditEvent:
    """The event as its user may see it: where an administrator was who did it, is the administrator's own."""
    if event.actor_id not in ("", user_id):
        for field in ("actor_id", "session_id", "ip_address", "user_agent"):
            event.ClearField(field)
    return event
