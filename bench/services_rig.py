"""A whole mesh as `make run` starts it, and what its administrator has by the time that reads are measured."""

import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import aiohttp
import grpc
from chatmesh.auth.v1 import auth_pb2
from chatmesh.auth.v1.auth_pb2_grpc import AuthServiceStub
from chatmesh.billing.v1 import billing_pb2
from chatmesh.billing.v1.billing_pb2_grpc import BillingServiceStub
from chatmesh.chat.v1 import chat_pb2
from chatmesh.chat.v1.chat_pb2_grpc import ChatServiceStub

from bench.rig import python
from svckit.local import Home, Program, Supervised, ports
from svckit.local.supervised import start_on_free_ports

SERVICES = ("auth", "chat", "billing", "analytics")
_ADMIN_OFFSET = 6000  # from a service's port to that of its admin pages
_CONVERSATIONS = 20
_CREDENTIALS = "administrator.txt"
_PATIENCE = timedelta(minutes=3)
_GRACE = timedelta(minutes=1)
_CPU = re.compile(r"^process_cpu_seconds_total (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicesRig:
    """Channels straight to each service, and how its administrator is known to it."""

    channels: Mapping[str, grpc.aio.Channel]
    metadata: tuple[tuple[str, str], ...]
    conversation: str
    subscription: str
    _admin_urls: Mapping[str, str]

    async def cpu_seconds(self, service: str) -> float:
        """What the whole process has taken of the processor's time, as its own metrics say."""
        async with aiohttp.ClientSession() as http, http.get(f"{self._admin_urls[service]}/metrics") as answer:
            found = _CPU.search(await answer.text())
            assert found
            return float(found[1])


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[ServicesRig]:
    """Start it all, the engines included; raises LocalError."""
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(Home.opened(folder / "bench"))
        picked = dict(zip(SERVICES, _free_ports(), strict=False))
        mesh = await start_on_free_ports(home, ["edge"], lambda edge: _mesh(home, folder / "mesh", edge, picked))
        stack.push_async_callback(mesh.stop)
        channels = {
            name: await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
            for name, port in picked.items()
        }
        metadata = await _signed_in(channels["auth"], (folder / "mesh" / _CREDENTIALS).read_text())
        yield ServicesRig(
            channels=channels,
            metadata=metadata,
            conversation=await _talked(channels["chat"], metadata),
            subscription=await _subscribed(channels["billing"], metadata),
            _admin_urls={name: f"http://127.0.0.1:{port + _ADMIN_OFFSET}" for name, port in picked.items()},
        )


def _free_ports() -> Iterator[int]:
    """Ports whose neighbours for admin pages are free, too."""
    given: set[int] = set()
    while True:
        port = ports.free_port(besides=given)
        if ports.is_free(port + _ADMIN_OFFSET):
            given |= {port, port + _ADMIN_OFFSET}
            yield port


def _mesh(home: Home, folder: Path, edge: int, picked: Mapping[str, int]) -> Supervised:
    told = {f"{name.upper()}_SERVICE_URL": f"127.0.0.1:{port}" for name, port in picked.items()}
    environment = {
        "PATH": os.defpath,
        "CHATMESH_HOME": str(folder),
        "EDGE_PORT": str(edge),
        "LOCAL_MODEL_URL": "http://127.0.0.1:9/v1",  # no model is asked for anything
        **told,
    }

    async def ready() -> bool:
        """Whether the last thing is there that `up` makes."""
        return (folder / _CREDENTIALS).exists()

    program = Program(name="mesh", command=python("mesh", "up"), environment=environment)
    url = f"http://127.0.0.1:{edge}"
    return Supervised(program, home=home, url=url, ready=ready, patience=_PATIENCE, grace=_GRACE)


async def _signed_in(channel: grpc.aio.Channel, credentials: str) -> tuple[tuple[str, str], ...]:
    email, password = credentials.split()
    answer = await AuthServiceStub(channel).SignIn(auth_pb2.SignInRequest(email=email, password=password))
    return (("authorization", f"Bearer {answer.tokens.access_token}"),)


async def _talked(channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...]) -> str:
    stub = ChatServiceStub(channel)
    for number in range(_CONVERSATIONS):
        request = chat_pb2.CreateConversationRequest(title=f"Why is the sky blue? {number}")
        answer = await stub.CreateConversation(request, metadata=metadata)
    return answer.conversation.id


async def _subscribed(channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...]) -> str:
    request = billing_pb2.CreateSubscriptionRequest(plan_id="pro")
    answer = await BillingServiceStub(channel).CreateSubscription(request, metadata=metadata)
    return answer.subscription.id
