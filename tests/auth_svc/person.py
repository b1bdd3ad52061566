"""A person with an address and a password, who talks to the auth service through its stub."""

import uuid
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
from chatmesh.auth.v1 import auth_pb2 as pb

from svckit.errors import Unauthenticated
from tests.auth_svc.inbox import Inbox, token_in

if TYPE_CHECKING:
    from chatmesh.auth.v1.auth_pb2_grpc import AuthServiceAsyncStub

PASSWORD = "correct horse battery"


def new_address() -> str:
    return f"{uuid.uuid4().hex}@example.com"


def bearer(access_token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {access_token}"),)


async def refused(call: Awaitable[Any]) -> bool:
    """Whether a call, or the check of a token, ends with Unauthenticated."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code() is grpc.StatusCode.UNAUTHENTICATED
    except Unauthenticated:
        return True
    return False


@dataclass
class Person:
    """Somebody who may become a user."""

    stub: "AuthServiceAsyncStub"
    inbox: Inbox
    address: str = field(default_factory=new_address)
    password: str = PASSWORD

    async def sign_up(self, *, name: str = "") -> pb.SignUpResponse:
        return await self.stub.SignUp(pb.SignUpRequest(email=self.address, password=self.password, name=name))

    async def mailed_token(self) -> str:
        return token_in(await self.inbox.next_to(self.address))

    async def verify(self, token: str) -> pb.User:
        return (await self.stub.VerifyEmail(pb.VerifyEmailRequest(token=token))).user

    async def register(self) -> pb.User:
        """Sign up and verify."""
        await self.sign_up()
        return await self.verify(await self.mailed_token())

    def sign_in(
        self, *, password: str | None = None, metadata: Sequence[tuple[str, str]] = ()
    ) -> "grpc.aio.UnaryUnaryCall[pb.SignInRequest, pb.SignInResponse]":
        request = pb.SignInRequest(email=self.address, password=password or self.password)
        return self.stub.SignIn(request, metadata=tuple(metadata))

    async def tokens(self) -> pb.TokenPair:
        """Sign in as a program."""
        return (await self.sign_in()).tokens

    async def session_token(self) -> str:
        """Sign in as a browser: the value of the cookie."""
        call = self.sign_in()
        await call
        metadata = await call.initial_metadata()
        cookie = str(metadata["set-cookie"])
        return cookie.partition(";")[0].removeprefix("session=")
