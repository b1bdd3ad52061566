"""RPCs of what was used."""

from dataclasses import dataclass
from datetime import UTC, datetime

from chatmesh.billing.v1 import billing_pb2 as pb
from chatmesh.billing.v1.billing_pb2_grpc import BillingServiceServicer

from billing_svc import usage_store
from billing_svc.models import UsagePeriod
from billing_svc.plans import DEFAULT_CURRENCY, Plans
from billing_svc.servicer.bridge import money_message
from svckit import identity
from svckit.postgres import Database
from svckit.rpc.call import Context
from svckit.timestamps import timestamp


@dataclass(kw_only=True, eq=False)
class UsageRpcs(BillingServiceServicer):
    """Serves usage; each caller sees their own."""

    database: Database
    plans: Plans

    async def GetBillingUsage(self, request: pb.GetBillingUsageRequest, context: Context) -> pb.GetBillingUsageResponse:
        user_id = identity.user_id()
        async with self.database.transaction() as session:
            period = await usage_store.current_period(session, user_id)
            if period is None:
                period = _calendar_month(self.plans, now=datetime.now(UTC))
                period.used = await usage_store.used_without_subscription(session, user_id, since=period.starts_at)
        return pb.GetBillingUsageResponse(
            period_start_time=timestamp(period.starts_at),
            period_end_time=timestamp(period.ends_at),
            tokens_included=period.included,
            tokens_used=period.used,
            tokens_overage=period.beyond,
            overage_amount=money_message(period.overage),
        )


def _calendar_month(plans: Plans, *, now: datetime) -> UsagePeriod:
    """What everybody has who never subscribed, in UTC."""
    start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    included = plans.free.tokens_per_month
    return UsagePeriod(starts_at=start, ends_at=end, included=included, per_1000_minor=0, currency=DEFAULT_CURRENCY)
