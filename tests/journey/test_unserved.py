"""RPCs that are declared but not served yet: listed, so that the list can only shrink."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import grpc
import pytest
from chatmesh.auth.v1 import auth_pb2_grpc
from google.protobuf.descriptor import MethodDescriptor

from edge.app import SERVICES
from svckit.identity import ServiceCredential
from tests.journey.running import Mesh
from tests.journey.test_grpc import sign_in

LISTED = Path(__file__).parent.parent / "unserved_rpcs.txt"


def rpcs() -> Iterator[tuple[str, MethodDescriptor]]:
    for name, service in SERVICES.items():
        for method in service.methods:
            yield name, method


async def status_of(channel: grpc.aio.Channel, method: MethodDescriptor, metadata: grpc.aio.Metadata) -> str:
    """What an empty request is answered."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    try:
        if method.client_streaming:
            both: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(path)
            await anext(aiter(both(_nothing(), metadata=metadata, timeout=10)), None)
        elif method.server_streaming:
            stream: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(path)
            await anext(aiter(stream(b"", metadata=metadata, timeout=10)), None)
        else:
            unary: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
            await unary(b"", metadata=metadata, timeout=10)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


async def _nothing() -> AsyncIterator[bytes]:
    nothing: list[bytes] = []
    for request in nothing:
        yield request


@pytest.fixture(scope="session")
async def statuses(mesh: Mesh) -> Mapping[str, str]:
    """Every RPC of the mesh, called with an administrator's token and a service's, and what it answered."""
    secret = json.loads((mesh.home / "state.json").read_text())["SERVICE_SECRET"]
    async with grpc.aio.insecure_channel(mesh.addresses["auth"]) as auth:
        metadata = await sign_in(auth_pb2_grpc.AuthServiceStub(auth), *mesh.administrator)
    metadata.add("x-service-authorization", f"Bearer {ServiceCredential('edge', secret).token()}")
    found: dict[str, str] = {}
    for name, address in mesh.addresses.items():
        async with grpc.aio.insecure_channel(address) as channel:
            for service, method in rpcs():
                # Last of all, or the administrator is signed out for the others.
                if service == name and method.name != "SignOut":
                    found[method.full_name] = await status_of(channel, method, metadata)
    return found


async def test_the_list_of_rpcs_that_are_not_served_is_true(statuses: Mapping[str, str]) -> None:
    unserved = {name for name, status in statuses.items() if status == "UNIMPLEMENTED"}

    assert unserved == set(LISTED.read_text().split())


async def test_no_empty_request_breaks_a_service(statuses: Mapping[str, str]) -> None:
    assert {name for name, status in statuses.items() if status in ("INTERNAL", "UNKNOWN", "UNAVAILABLE")} == set()
