"""Who may call what: every RPC of every service, as nobody, a user, an analyst, an administrator and a service.

Read from the descriptors, so that a new RPC is asked as well. Allowed is whatever ends otherwise than by a refusal.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from chatmesh.access.v1 import access_pb2
from google.protobuf.descriptor import MethodDescriptor

from auth_svc import clock
from auth_svc.models import User
from auth_svc.sealing import Seal
from auth_svc.signing_keys import SigningKeys
from svckit import postgres
from svckit.identity import Claims, Role, ServiceCredential, SigningKey, mint
from svckit.ids import new_id
from svckit.postgres import Database
from tests.journey.running import Mesh
from tests.journey.test_unserved import rpcs, status_of

REFUSALS = ("UNAUTHENTICATED", "PERMISSION_DENIED")

# What each caller is answered at each level; nothing: it may call.
REFUSED: Mapping[str, Mapping[str, str]] = {
    "PUBLIC": {},
    "USER": dict.fromkeys(("nobody", "service"), "UNAUTHENTICATED"),
    "ANALYST": {**dict.fromkeys(("nobody", "service"), "UNAUTHENTICATED"), "user": "PERMISSION_DENIED"},
    "ADMIN": {
        **dict.fromkeys(("nobody", "service"), "UNAUTHENTICATED"),
        **dict.fromkeys(("user", "analyst"), "PERMISSION_DENIED"),
    },
    "SERVICE": dict.fromkeys(("nobody", "user", "analyst", "admin"), "UNAUTHENTICATED"),
}
CALLERS = ("nobody", "user", "analyst", "admin", "service")


class Tokens:
    """A fresh token for each call: one that ends its session, or its account, takes nothing from the next."""

    def __init__(self, database: Database, key: SigningKey, secret: str) -> None:
        self._database = database
        self._key = key
        self._service = ServiceCredential("reports", secret)

    async def of(self, caller: str) -> grpc.aio.Metadata:
        if caller == "nobody":
            return grpc.aio.Metadata()
        if caller == "service":
            return grpc.aio.Metadata(("x-service-authorization", f"Bearer {self._service.token()}"))
        return grpc.aio.Metadata(("authorization", f"Bearer {await self._access_token(Role(caller))}"))

    async def _access_token(self, role: Role) -> str:
        """Of an account that nobody can sign in to, made for this."""
        user_id, now = new_id(), datetime.now(UTC)
        email = f"{user_id}@example.com"
        account = {"id": user_id, "email": email, "email_key": email, "name": "", "role": role, "password_hash": "none"}
        async with self._database.transaction() as session:
            session.add(User(**account, created_at=now, verified_at=now))
        return mint(Claims(user_id, new_id(), role, new_id(), now + timedelta(minutes=5)), self._key)


@pytest.fixture(scope="session")
async def tokens(mesh: Mesh) -> AsyncIterator[Tokens]:
    told = json.loads((mesh.home / "state.json").read_text())
    async with postgres.connected(told["DATABASE_URL"], pool_size=1) as database:
        keys = SigningKeys(database=database, seal=Seal(told["SERVICE_SECRET"]), clock=clock.now)
        await keys.load()
        yield Tokens(database, keys.current, told["SERVICE_SECRET"])


def level_of(method: MethodDescriptor) -> str:
    level = method.GetOptions().Extensions[access_pb2.level]
    return access_pb2.Level.Name(level).removeprefix("LEVEL_")


async def answers(mesh: Mesh, tokens: Tokens, methods: Sequence[tuple[str, MethodDescriptor]]) -> dict[str, str]:
    """By `rpc as caller`: the refusal, or `allowed`."""
    found = {}
    async with AsyncExitStack() as stack:
        channels = {
            name: await stack.enter_async_context(grpc.aio.insecure_channel(address))
            for name, address in mesh.addresses.items()
        }
        for service, method in methods:
            for caller in CALLERS:
                status = await status_of(channels[service], method, await tokens.of(caller))
                found[f"{method.full_name} as {caller}"] = status if status in REFUSALS else "allowed"
    return found


async def test_every_rpc_lets_in_whom_its_contract_names_and_nobody_else(mesh: Mesh, tokens: Tokens) -> None:
    methods = list(rpcs())
    expected = {
        f"{method.full_name} as {caller}": REFUSED[level_of(method)].get(caller, "allowed")
        for _, method in methods
        for caller in CALLERS
    }

    found = await answers(mesh, tokens, methods)

    assert {call: (found[call], wanted) for call, wanted in expected.items() if found[call] != wanted} == {}
    assert {level_of(method) for _, method in methods} == set(REFUSED)
