"""The service as a process of its own, which can be killed."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chatmesh.billing.v1 import billing_pb2 as pb
from chatmesh.billing.v1.billing_pb2_grpc import BillingServiceStub

from billing_svc.settings import BillingSettings
from svckit import clients
from svckit.local.ports import free_port
from tests.billing_svc.conftest import SERVICES, Billing
from tests.waiting import PATIENCE


@asynccontextmanager
async def apart(settings: BillingSettings) -> AsyncIterator[tuple[asyncio.subprocess.Process, Billing]]:
    """A process with these settings, ready; stopped at the end of the block if nobody killed it."""
    listen = f"127.0.0.1:{free_port()}"
    variables = {
        "LISTEN": listen,
        "ADMIN_LISTEN": "127.0.0.1:0",
        "DATABASE_URL": str(settings.database_url),
        "REDIS_URL": str(settings.redis_url),
        "NATS_URL": settings.nats_url,
        "AUTH_SERVICE_URL": settings.auth_service_url,
        "STRIPE_API_BASE": settings.stripe_url,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "billing_svc", env=os.environ | variables, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        async with clients.channel(listen, services=SERVICES) as channel:
            stub = BillingServiceStub(channel)
            await stub.ListPlans(pb.ListPlansRequest(), wait_for_ready=True, timeout=PATIENCE)
            yield process, Billing(settings, listen, stub, stub)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
