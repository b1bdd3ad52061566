"""The service as a process of its own, which can be killed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chatmesh.billing.v1 import billing_pb2 as pb
from chatmesh.billing.v1.billing_pb2_grpc import BillingServiceStub

from billing_svc.settings import BillingSettings
from svckit import clients
from svckit.identity import ServiceCredential
from svckit.local.ports import free_port
from tests.billing_svc import billing_alone
from tests.billing_svc.conftest import CALLS_TAKE, SERVICES, Billing
from tests.killable import Killable, import_ahead, running
from tests.waiting import PATIENCE

import_ahead(billing_alone)


@asynccontextmanager
async def apart(settings: BillingSettings) -> AsyncIterator[tuple[Killable, Billing]]:
    """A process with these settings, ready; killed at the end of the block if nobody did it before."""
    own = BillingSettings.model_validate(settings.model_dump() | {"listen": f"127.0.0.1:{free_port()}"})
    credential = ServiceCredential("edge", own.service_secret.get_secret_value())
    async with (
        running(billing_alone.run, own) as process,
        clients.channel(own.listen, services=SERVICES, timeout=CALLS_TAKE) as channel,
        clients.channel(own.listen, services=SERVICES, credential=credential, timeout=CALLS_TAKE) as edge,
    ):
        yield process, Billing(own, own.listen, BillingServiceStub(channel), BillingServiceStub(edge))


async def restart(process: Killable, billing: Billing) -> None:
    """Kill the process, and wait until it serves again."""
    await process.kill()
    await process.start()
    await billing.stub.ListPlans(pb.ListPlansRequest(), wait_for_ready=True, timeout=PATIENCE)
