"""RPCs about second factors: asking for one at sign-in, and having one."""

from dataclasses import dataclass
from typing import cast

from chatmesh.auth.v1 import auth_pb2 as pb
from chatmesh.auth.v1.auth_pb2_grpc import AuthServiceServicer

from auth_svc.challenges import Challenges
from auth_svc.codes import Shown, ShownKind
from auth_svc.second_factors import SecondFactors
from auth_svc.servicer.bridge import NO_STORE, caller_of, keep_signed_in, token_pair, user_message
from svckit import identity
from svckit.rpc.call import Context
from svckit.timestamps import timestamp


@dataclass(kw_only=True, eq=False)
class SecondFactorRpcs(AuthServiceServicer):
    """Serves second factors."""

    challenges: Challenges
    second_factors: SecondFactors
    secure_cookies: bool

    async def VerifyMfa(self, request: pb.VerifyMfaRequest, context: Context) -> pb.VerifyMfaResponse:
        signed_in = await self.challenges.meet(request.challenge_token, _shown(request), caller_of(context))
        await keep_signed_in(context, signed_in, secure=self.secure_cookies)
        return pb.VerifyMfaResponse(user=user_message(signed_in.user), tokens=token_pair(signed_in.tokens))

    async def GetMfa(self, request: pb.GetMfaRequest, context: Context) -> pb.GetMfaResponse:
        status = await self.second_factors.status(identity.user_id())
        return pb.GetMfaResponse(
            enabled=status.enabled_at is not None,
            enable_time=timestamp(status.enabled_at),
            recovery_codes_left=status.codes_left,
        )

    async def EnrollTotp(self, request: pb.EnrollTotpRequest, context: Context) -> pb.EnrollTotpResponse:
        enrolled = await self.second_factors.enroll(password=request.password, caller=caller_of(context))
        await context.send_initial_metadata((NO_STORE,))
        return pb.EnrollTotpResponse(secret=enrolled.secret, otpauth_uri=enrolled.uri)

    async def ConfirmTotp(self, request: pb.ConfirmTotpRequest, context: Context) -> pb.ConfirmTotpResponse:
        codes = await self.second_factors.confirm(request.code, caller_of(context))
        await context.send_initial_metadata((NO_STORE,))
        return pb.ConfirmTotpResponse(recovery_codes=codes)

    async def DisableTotp(self, request: pb.DisableTotpRequest, context: Context) -> pb.DisableTotpResponse:
        await self.second_factors.disable(_shown(request), caller_of(context))
        return pb.DisableTotpResponse()

    async def RegenerateRecoveryCodes(
        self, request: pb.RegenerateRecoveryCodesRequest, context: Context
    ) -> pb.RegenerateRecoveryCodesResponse:
        codes = await self.second_factors.regenerate(_shown(request), caller_of(context))
        await context.send_initial_metadata((NO_STORE,))
        return pb.RegenerateRecoveryCodesResponse(recovery_codes=codes)

    async def ResetMfa(self, request: pb.ResetMfaRequest, context: Context) -> pb.ResetMfaResponse:
        await self.second_factors.reset(request.user_id, caller_of(context))
        return pb.ResetMfaResponse()


def _shown(request: pb.VerifyMfaRequest | pb.DisableTotpRequest | pb.RegenerateRecoveryCodesRequest) -> Shown:
    """The proof of the request, whose contract requires one."""
    kind = cast(ShownKind, request.WhichOneof("proof"))
    return Shown(kind, getattr(request, kind))
