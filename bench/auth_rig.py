"""An auth service as production starts it, on engines of its own, and people who have accounts there."""

import asyncio
import email
import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.policy import default
from pathlib import Path
from typing import TYPE_CHECKING

from chatmesh.auth.v1 import auth_pb2 as pb
from chatmesh.auth.v1.auth_pb2_grpc import AuthServiceStub

from bench.rig import python
from svckit import clients, local
from svckit.ids import new_id
from svckit.local import Engines, Home, Program, Supervised
from svckit.local.probes import answers
from svckit.local.supervised import start_on_free_ports

if TYPE_CHECKING:
    from chatmesh.auth.v1.auth_pb2_grpc import AuthServiceAsyncStub

PASSWORD = "correct horse battery"  # noqa: S105 - nobody's
SERVICES = [pb.DESCRIPTOR.services_by_name["AuthService"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthRig:
    """The service, and the addresses of those who can sign in to it."""

    stub: "AuthServiceAsyncStub"
    pid: int
    redis_url: str
    people: Sequence[str]

    async def sign_in(self, address: str, password: str = PASSWORD) -> pb.SignInResponse:
        return await self.stub.SignIn(pb.SignInRequest(email=address, password=password))


def new_address() -> str:
    return f"{new_id()}@example.com"


@asynccontextmanager
async def running(folder: Path, *, people: int, **settings: str) -> AsyncIterator[AuthRig]:
    """Start it all, with those settings instead of the defaults; raises LocalError."""
    async with (
        Home.opened(folder) as home,
        local.engines(home, durable=False) as engines,
        local.mail_catcher(home) as smtp_url,
    ):
        service = await start_on_free_ports(
            home, ["auth", "admin"], lambda *ports: _service(home, engines, smtp_url, settings, *ports)
        )
        try:
            async with clients.channel(service.url.removeprefix("tcp://"), services=SERVICES) as channel:
                stub = AuthServiceStub(channel)
                addresses = [new_address() for _ in range(people)]
                await _register(stub, addresses, mail=home.folder("mail"))
                yield AuthRig(stub=stub, pid=service.pid or 0, redis_url=engines.redis_url, people=addresses)
        finally:
            await service.stop()


def _service(
    home: Home, engines: Engines, smtp_url: str, settings: Mapping[str, str], port: int, admin_port: int
) -> Supervised:
    environment = {
        "PATH": os.defpath,
        "LISTEN": f"127.0.0.1:{port}",
        "ADMIN_LISTEN": f"127.0.0.1:{admin_port}",
        "DATABASE_URL": engines.database_url,
        "REDIS_URL": engines.redis_url,
        "NATS_URL": engines.nats_url,
        "SMTP_URL": smtp_url,
        **settings,
    }
    program = Program(name="auth", command=python("auth_svc"), environment=environment)
    ready = answers(f"http://127.0.0.1:{admin_port}/readyz")
    return Supervised(program, home=home, url=f"tcp://127.0.0.1:{port}", ready=ready)


async def _register(stub: "AuthServiceAsyncStub", addresses: Sequence[str], *, mail: Path) -> None:
    for address in addresses:
        await stub.SignUp(pb.SignUpRequest(email=address, password=PASSWORD))
    tokens: dict[str, str] = {}
    while len(tokens) < len(addresses):
        tokens = await asyncio.to_thread(_mailed, mail)
    for address in addresses:
        await stub.VerifyEmail(pb.VerifyEmailRequest(token=tokens[address]))


def _mailed(mail: Path) -> dict[str, str]:
    """The tokens that have been mailed, by address."""
    tokens = {}
    for path in mail.glob("[!.]*.eml"):
        letter = path.read_bytes()
        if found := re.search(rb"\?token=([\w-]+)", letter):
            to = email.message_from_bytes(letter, policy=default)["To"]
            tokens[str(to)] = found[1].decode()
    return tokens
