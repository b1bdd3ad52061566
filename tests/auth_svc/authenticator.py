"""Somebody with an authenticator app."""

from dataclasses import dataclass, field
from email.message import EmailMessage

import pyotp
from chatmesh.auth.v1 import auth_pb2 as pb

from auth_svc.clock import Clock
from tests.auth_svc.person import Person, bearer


@dataclass
class Holder:
    """A person whose account asks for codes; `secret` is what the app was given."""

    person: Person
    clock: Clock
    secret: str = ""
    recovery_codes: list[str] = field(default_factory=list)

    async def enroll(self, metadata: tuple[tuple[str, str], ...]) -> pb.EnrollTotpResponse:
        request = pb.EnrollTotpRequest(password=self.person.password)
        enrolled = await self.person.stub.EnrollTotp(request, metadata=metadata)
        self.secret = enrolled.secret
        return enrolled

    async def turn_on(self) -> tuple[tuple[str, str], ...]:
        """Register and confirm the app with the code before the present one; the metadata of the session that did."""
        await self.person.register()
        metadata = bearer((await self.person.tokens()).access_token)
        await self.enroll(metadata)
        confirmed = await self.person.stub.ConfirmTotp(pb.ConfirmTotpRequest(code=self.code(-1)), metadata=metadata)
        self.recovery_codes = list(confirmed.recovery_codes)
        return metadata

    def code(self, steps: int = 0) -> str:
        """What the app shows now, or did or will so many steps from now."""
        return pyotp.TOTP(self.secret).at(self.clock(), counter_offset=steps)

    def wrong_code(self) -> str:
        """A code of none of the steps that count."""
        near = {self.code(steps) for steps in (-1, 0, 1)}
        return next(code for code in ("000000", "111111", "222222", "333333") if code not in near)

    async def challenge(self) -> str:
        """Show the password; the token of the challenge."""
        return (await self.person.sign_in()).mfa_required.token

    async def next_mail(self) -> EmailMessage:
        return await self.person.inbox.next_to(self.person.address)

    async def verify(self, token: str, **proof: str) -> pb.VerifyMfaResponse:
        return await self.person.stub.VerifyMfa(pb.VerifyMfaRequest(challenge_token=token, **proof))
