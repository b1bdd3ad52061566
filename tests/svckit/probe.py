"""A small real service for the tests of svckit: its stubs, compiled when first imported, and how to serve it."""

import importlib
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
from grpc_tools import protoc

from svckit import clients, server
from svckit.identity import Claims, RemoteKeys, Role, ServiceCredential, SigningKey, TokenVerifier, mint
from svckit.ids import new_id
from svckit.server import Service, Serving

_ROOT = Path(__file__).resolve().parents[2]
_OUTPUT = tempfile.TemporaryDirectory(prefix="kitprobe")
_arguments = (
    f"-I{Path(__file__).parent / 'protos'}",
    f"--descriptor_set_in={_ROOT / 'gen/chatmesh/descriptors.binpb'}",
    f"--python_out={_OUTPUT.name}",
    f"--grpc_python_out={_OUTPUT.name}",
)
assert protoc.main(["protoc", *_arguments, "kitprobe/v1/probe.proto"]) == 0
sys.path.append(_OUTPUT.name)

pb2: Any = importlib.import_module("kitprobe.v1.probe_pb2")
pb2_grpc: Any = importlib.import_module("kitprobe.v1.probe_pb2_grpc")

Request = pb2.Request
Reply = pb2.Reply
ProbeServicer = pb2_grpc.ProbeServiceServicer
DESCRIPTOR = pb2.DESCRIPTOR.services_by_name["ProbeService"]

KEY = SigningKey.generate("test-key")
CREDENTIAL = ServiceCredential("caller", "a secret of the tests, long enough")


async def fetch_keys() -> list[tuple[str, str]]:
    return [(KEY.kid, KEY.x)]


def verifier() -> TokenVerifier:
    return TokenVerifier(keys=RemoteKeys(fetch_keys))


def claims(*, role: Role = Role.USER, expires_in: timedelta = timedelta(minutes=10)) -> Claims:
    return Claims(
        user_id=new_id(), session_id=new_id(), role=role, token_id=new_id(), expires=datetime.now(UTC) + expires_in
    )


def bearer(said: Claims) -> tuple[tuple[str, str], ...]:
    """Metadata that shows an access token saying `said`."""
    return (("authorization", f"Bearer {mint(said, KEY)}"),)


@asynccontextmanager
async def serving(servicer: object, **options: Any) -> AsyncIterator[Serving]:
    """Serve `servicer` as every service is served, on a free port."""
    defaults: dict[str, Any] = {
        "name": "probe",
        "services": [Service(DESCRIPTOR, pb2_grpc.add_ProbeServiceServicer_to_server, servicer)],
        "listen": "127.0.0.1:0",
        "admin_listen": None,
        "verifier": verifier(),
        "credential": ServiceCredential("probe", CREDENTIAL.secret),
        "lame_duck": timedelta(0),
    }
    async with server.running(**(defaults | options)) as started:
        yield started


@asynccontextmanager
async def calling(servicer: object, **options: Any) -> AsyncIterator[Any]:
    """Serve `servicer` and yield a stub of it on a bare channel."""
    async with (
        serving(servicer, **options) as started,
        clients.bare_channel(started.address, services=[DESCRIPTOR]) as to,
    ):
        yield stub(to)


def stub(channel: grpc.aio.Channel) -> Any:
    return pb2_grpc.ProbeServiceStub(channel)
