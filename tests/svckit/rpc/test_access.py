import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from svckit import errors, identity, server
from svckit.identity import Role, ServiceCredential
from svckit.server import Service
from tests.callers import refusal
from tests.svckit.probe import (
    CREDENTIAL,
    KEY,
    ProbeServicer,
    Reply,
    Request,
    bearer,
    calling,
    claims,
    pb2,
    pb2_grpc,
    serving,
)

STALE = bearer(claims(expires_in=timedelta(minutes=-10)))
FORGED = (("authorization", "Bearer not.a.token"),)


def service_token(secret: str = CREDENTIAL.secret) -> tuple[tuple[str, str], ...]:
    return (("x-service-authorization", f"Bearer {ServiceCredential('caller', secret).token()}"),)


class Telling(ProbeServicer):
    """Answers who it thinks is calling."""

    async def Unary(self, request: Any, context: Any) -> Any:
        caller = identity.current()
        return Reply(text=f"{caller.user_id}/{caller.session_id}/{caller.role or ''}/{caller.service}")

    AsUser = AsAnalyst = AsAdmin = AsService = Unary

    async def Repeatable(self, request: Any, context: Any) -> Any:
        return Reply(text=identity.user_id())

    async def Stream(self, request: Any, context: Any) -> Any:
        yield Reply(text=identity.user_id())


@pytest.fixture
async def probe() -> AsyncIterator[Any]:
    async with calling(Telling()) as stub:
        yield stub


async def test_anybody_may_call_a_public_rpc(probe: Any) -> None:
    reply = await probe.Unary(Request())

    assert reply.text == "///"


async def test_a_public_rpc_knows_a_signed_in_caller(probe: Any) -> None:
    said = claims()
    reply = await probe.Unary(Request(), metadata=bearer(said))

    assert reply.text == f"{said.user_id}/{said.session_id}/user/"


@pytest.mark.parametrize("metadata", [STALE, FORGED, (("authorization", "Basic abc"),)])
async def test_a_public_rpc_ignores_a_token_that_does_not_count(probe: Any, metadata: Any) -> None:
    reply = await probe.Unary(Request(), metadata=metadata)

    assert reply.text == "///"


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ((), "CREDENTIALS_MISSING"),
        ((("authorization", "Basic abc"),), "CREDENTIALS_MISSING"),
        (FORGED, "TOKEN_INVALID"),
        (STALE, "TOKEN_EXPIRED"),
        (service_token(), "CREDENTIALS_MISSING"),
    ],
)
async def test_a_user_rpc_needs_a_good_access_token(probe: Any, metadata: Any, reason: str) -> None:
    error = await refusal(probe.AsUser(Request(), metadata=metadata))

    assert isinstance(error, errors.Unauthenticated)
    assert error.reason == reason


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role.USER, {"AsUser"}),
        (Role.ANALYST, {"AsUser", "AsAnalyst"}),
        (Role.ADMIN, {"AsUser", "AsAnalyst", "AsAdmin"}),
    ],
)
async def test_a_role_opens_its_own_rpcs_and_those_below(probe: Any, role: Role, allowed: set[str]) -> None:
    for name in ("AsUser", "AsAnalyst", "AsAdmin"):
        call = getattr(probe, name)(Request(), metadata=bearer(claims(role=role)))
        if name in allowed:
            assert f"/{role}/" in (await call).text
        else:
            assert (await refusal(call)).reason == "ROLE_TOO_LOW"


async def test_a_service_rpc_needs_the_meshs_credential(probe: Any) -> None:
    nothing = await refusal(probe.AsService(Request()))
    only_user = await refusal(probe.AsService(Request(), metadata=bearer(claims(role=Role.ADMIN))))
    strangers = await refusal(probe.AsService(Request(), metadata=service_token("another secret, also long enough")))

    as_a_service = (("x-service-authorization", bearer(claims(role=Role.ADMIN))[0][1]),)
    users = await refusal(probe.AsService(Request(), metadata=as_a_service))

    assert (nothing.reason, only_user.reason) == ("CREDENTIALS_MISSING", "CREDENTIALS_MISSING")
    assert users.reason == "TOKEN_INVALID"
    assert strangers.reason == "TOKEN_INVALID"


async def test_a_service_is_no_user_whatever_it_says_of_itself(probe: Any) -> None:
    """Its secret signs what a service is called, and nothing that a user can do."""
    now = int(time.time())
    said = {"iss": "chatmesh", "aud": "chatmesh", "sub": "u", "sid": "s", "jti": "j", "iat": now, "exp": now + 60}
    secret = OctKey.import_key(CREDENTIAL.secret)
    tokens = [
        jwt.encode({"alg": "HS256", "typ": type_, "kid": KEY.kid}, said | {"role": "admin"}, secret, ["HS256"])
        for type_ in ("svc+jwt", "at+jwt")
    ]
    calls = (probe.AsUser, probe.AsAnalyst, probe.AsAdmin)

    for token in [*tokens, CREDENTIAL.token()]:
        shown = (*service_token(), ("authorization", f"Bearer {token}"))
        assert {(await refusal(call(Request(), metadata=shown))).reason for call in calls} == {"TOKEN_INVALID"}
        assert (await probe.AsService(Request(), metadata=shown)).text == "///caller"


async def test_a_service_calls_on_behalf_of_a_user(probe: Any) -> None:
    said = claims()
    reply = await probe.AsService(Request(), metadata=(*service_token(), *bearer(said)))

    assert reply.text == f"{said.user_id}/{said.session_id}/user/caller"


async def test_a_service_call_outlives_the_users_token(probe: Any) -> None:
    reply = await probe.AsService(Request(), metadata=(*service_token(), *STALE))

    assert reply.text == "///caller"


async def test_asking_for_the_user_where_nobody_is_signed_in_is_unauthenticated(probe: Any) -> None:
    error = await refusal(probe.Repeatable(Request()))

    assert isinstance(error, errors.Unauthenticated)


async def test_a_stream_knows_its_caller_too(probe: Any) -> None:
    said = claims()
    replies = [reply.text async for reply in probe.Stream(Request(), metadata=bearer(said))]

    assert replies == [said.user_id]


async def test_a_server_refuses_to_start_with_an_rpc_that_names_no_level() -> None:
    unguarded = Service(
        pb2.DESCRIPTOR.services_by_name["UnguardedService"], pb2_grpc.add_UnguardedServiceServicer_to_server, object()
    )

    with pytest.raises(server.AccessLevelMissing, match=r"kitprobe\.v1\.UnguardedService/Unguarded"):
        async with serving(None, services=[unguarded]):
            pass


async def test_an_rpc_that_the_server_was_not_told_of_is_refused() -> None:
    class Unguarded(pb2_grpc.UnguardedServiceServicer):
        async def Unguarded(self, request: Any, context: Any) -> Any:
            return Reply(text="secret")

    def add_both(servicer: Any, to: grpc.aio.Server) -> None:
        pb2_grpc.add_ProbeServiceServicer_to_server(servicer, to)
        pb2_grpc.add_UnguardedServiceServicer_to_server(Unguarded(), to)

    services = [Service(pb2.DESCRIPTOR.services_by_name["ProbeService"], add_both, Telling())]
    async with serving(None, services=services) as started, grpc.aio.insecure_channel(started.address) as channel:
        error = await refusal(pb2_grpc.UnguardedServiceStub(channel).Unguarded(Request(), metadata=bearer(claims())))

    assert isinstance(error, errors.PermissionDenied)
    assert error.reason == "ACCESS_LEVEL_MISSING"
