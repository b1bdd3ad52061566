"""What a change of plan goes through: billing, chat and engines as production starts them, and the Stripe emulator."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from chatmesh.billing.v1 import billing_pb2
from chatmesh.billing.v1.billing_pb2_grpc import BillingServiceStub
from chatmesh.chat.v1 import chat_pb2
from chatmesh.chat.v1.chat_pb2_grpc import ChatServiceStub

from bench.backend import KEY_ID
from bench.rig import port_of, python, start_backend
from svckit import clients, local
from svckit.identity import Claims, Role, SigningKey, mint
from svckit.ids import new_id
from svckit.local import Home, Program, Supervised
from svckit.local.probes import answers
from svckit.local.supervised import start_on_free_ports

if TYPE_CHECKING:
    from chatmesh.billing.v1.billing_pb2_grpc import BillingServiceAsyncStub
    from chatmesh.chat.v1.chat_pb2_grpc import ChatServiceAsyncStub

_BILLING = [billing_pb2.DESCRIPTOR.services_by_name["BillingService"]]
_CHAT = [chat_pb2.DESCRIPTOR.services_by_name["ChatService"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlansRig:
    """The two services; the key makes people whom both of them know."""

    billing: "BillingServiceAsyncStub"
    chat: "ChatServiceAsyncStub"
    key: SigningKey

    def somebody(self) -> tuple[tuple[str, str], ...]:
        """The metadata of somebody new."""
        expires = datetime.now(UTC) + timedelta(hours=1)
        token = mint(Claims(new_id(), new_id(), Role.USER, new_id(), expires), self.key)
        return (("authorization", f"Bearer {token}"),)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[PlansRig]:
    """Start it all; raises LocalError."""
    key = SigningKey.generate(KEY_ID)
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(Home.opened(folder))
        engines = await stack.enter_async_context(local.engines(home, durable=False))
        keys = await start_backend(home, key)
        stack.push_async_callback(keys.stop)
        services = {
            "DATABASE_URL": engines.database_url,
            "REDIS_URL": engines.redis_url,
            "NATS_URL": engines.nats_url,
            "AUTH_SERVICE_URL": f"127.0.0.1:{port_of(keys)}",
            "LOG_LEVEL": "warning",
        }

        async def started(name: str, module: str, **environment: str) -> str:
            service = await _start(home, name, module, environment)
            stack.push_async_callback(service.stop)
            return f"127.0.0.1:{port_of(service)}"

        data = str(home.folder("stripe") / "emulator.sqlite")
        stripe = await started("stripe", "billing_svc.emulator", EMULATOR_DATA=data)
        billing = await started("billing", "billing_svc", STRIPE_API_BASE=f"http://{stripe}", **services)
        chat = await started("chat", "chat_svc", **services)
        to_billing = await stack.enter_async_context(clients.channel(billing, services=_BILLING))
        to_chat = await stack.enter_async_context(clients.channel(chat, services=_CHAT))
        yield PlansRig(billing=BillingServiceStub(to_billing), chat=ChatServiceStub(to_chat), key=key)


async def _start(home: Home, name: str, module: str, environment: dict[str, str]) -> Supervised:
    def make(port: int, admin_port: int) -> Supervised:
        addresses = {"LISTEN": f"127.0.0.1:{port}", "ADMIN_LISTEN": f"127.0.0.1:{admin_port}"}
        known = {"PATH": os.defpath, **addresses, **environment}
        url = f"tcp://127.0.0.1:{port}"
        # The emulator has no second port, and is ready when it listens.
        ready = answers(f"http://127.0.0.1:{admin_port}/readyz" if "DATABASE_URL" in environment else url)
        return Supervised(
            Program(name=name, command=python(module), environment=known), home=home, url=url, ready=ready
        )

    return await start_on_free_ports(home, [name, f"{name}-admin"], make)
