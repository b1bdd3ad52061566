"""RPCs of what the caller's plan has and what is left of it."""

from dataclasses import dataclass
from datetime import UTC, datetime

from chatmesh.chat.v1 import chat_pb2 as pb
from chatmesh.chat.v1.chat_pb2_grpc import ChatServiceServicer

from chat_svc import entitlements, quota, usage_store
from chat_svc.catalogue import Catalogue
from chat_svc.servicer import bridge
from svckit import identity, postgres
from svckit.postgres import Database
from svckit.rpc.call import Context


@dataclass(kw_only=True, eq=False)
class PlanRpcs(ChatServiceServicer):
    """Serves models and usage."""

    database: Database
    catalogue: Catalogue

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        allowance = await entitlements.of_caller(self.database)
        default = self.catalogue.default(included=allowance.includes)
        return pb.ListModelsResponse(
            models=[
                bridge.model(row, set_up=self.catalogue.answers(row), included=allowance.includes(row))
                for row in self.catalogue.models
            ],
            default_model=default.id if default else "",
        )

    async def GetUsage(self, request: pb.GetUsageRequest, context: Context) -> pb.GetUsageResponse:
        owner_id = identity.user_id()
        async with self.database.transaction() as session:
            driver = await postgres.driver_of(session)
            allowance = await entitlements.allowance(driver, owner_id, now=datetime.now(UTC))
            standing = await quota.standing(driver, owner_id, allowance)
            models = await usage_store.used_models(session, owner_id, period_start=allowance.period.start)
        return bridge.usage(standing, models)
