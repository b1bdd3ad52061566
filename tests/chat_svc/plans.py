"""Plans as billing tells of them: snapshots, and where users stand with them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from chatmesh.chat.v1 import chat_pb2 as pb
from chatmesh.events.v1 import events_pb2

from svckit import events
from svckit.events import Bus
from svckit.timestamps import timestamp
from tests.chat_svc.user import User
from tests.waiting import until

# A period that is running, and no calendar month.
START = datetime.now(UTC).replace(microsecond=0) - timedelta(days=10)
PERIOD = timedelta(days=30)


async def tell(
    bus: Bus,
    user: User,
    *,
    plan: str = "pro",
    version: int = 1,
    tokens: int | None = 2_000_000,
    overage: bool = False,
    generations: int | None = 2,
    models: Sequence[str] = ("*",),
    start: datetime = START,
) -> None:
    """As billing tells it, without waiting for chat to hear it."""
    end = timestamp(start + PERIOD)
    limits = events_pb2.Limits(
        tokens_per_period=tokens, overage=overage, concurrent_generations=generations, models=models
    )
    snapshot = events_pb2.EntitlementsChanged(
        user_id=user.id,
        version=version,
        plan=plan,
        status=events_pb2.SUBSCRIPTION_STATUS_ACTIVE,
        limits=limits,
        period_start=timestamp(start),
        period_end=end,
        valid_until=end,
    )
    await bus.publish(events.event(snapshot, source="billing", about=user.id, time=datetime.now(UTC)))


async def standing(user: User) -> pb.GetUsageResponse:
    return await user.stub.GetUsage(pb.GetUsageRequest(), metadata=user.metadata)


async def grant(
    bus: Bus,
    user: User,
    *,
    plan: str = "pro",
    version: int = 1,
    tokens: int | None = 2_000_000,
    overage: bool = False,
    generations: int | None = 2,
    models: Sequence[str] = ("*",),
) -> None:
    """The same, until chat has heard; the models alone do not tell that it has."""
    await tell(
        bus,
        user,
        plan=plan,
        version=version,
        tokens=tokens,
        overage=overage,
        generations=generations,
        models=models,
    )

    async def heard() -> bool:
        now = await standing(user)
        limit = now.tokens_limit if now.HasField("tokens_limit") else None
        most = now.generations_limit if now.HasField("generations_limit") else None
        return (now.plan, limit, now.overage, most) == (plan, tokens, overage, generations)

    await until(heard)


async def idle(user: User) -> pb.GetUsageResponse:
    """Where the user stands once nothing is held back any more."""

    async def nothing_runs() -> pb.GetUsageResponse | None:
        now = await standing(user)
        return now if (now.generations_running, now.tokens_reserved) == (0, 0) else None

    return await until(nothing_runs)
