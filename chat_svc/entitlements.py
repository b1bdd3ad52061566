"""What a user's plan allows: billing's newest snapshot of it, else the free plan of free_plan.toml."""

import re
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from chatmesh.events.v1.events_pb2 import EntitlementsChanged
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import BaseModel, ConfigDict, NonNegativeInt
from sqlalchemy.ext.asyncio import AsyncSession

from chat_svc import store, usage_store
from chat_svc.catalogue import Model
from chat_svc.models import Entitlement
from svckit import identity, postgres
from svckit.postgres import Database
from svckit.statements import Driver

FREE_PLAN = Path(__file__).with_name("free_plan.toml")

# A snapshot holds so much longer than it says: news of a renewal may be late, and who has paid is not turned away.
_GRACE = timedelta(hours=72)


@dataclass(frozen=True, slots=True)
class Period:
    """What tokens are counted in: from its start, up to and without its end."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a user may do at one moment. A limit of None is none."""

    plan: str
    tokens: int | None
    # More tokens than that are allowed, and charged for.
    overage: bool = False
    generations: int | None
    # Patterns of "<provider>/<model>" that a model must match one of; none: every model that the plan has.
    models: tuple[str, ...] = ()
    period: Period

    def includes(self, model: Model) -> bool:
        """Whether the model may be asked: the catalogue says which plans have it, the snapshot may be narrower."""
        narrowed = self.models and not any(_matches(pattern, model.name) for pattern in self.models)
        return self.plan in model.plans and not narrowed


class _FreePlan(BaseModel):
    """What the file holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    plan: str
    tokens_per_period: NonNegativeInt
    concurrent_generations: NonNegativeInt


async def allowance(driver: Driver, owner_id: str, *, now: datetime) -> Allowance:
    """What the owner may do now."""
    kept = await usage_store.entitlement(driver, owner_id)
    if kept is None or (kept.valid_until is not None and now >= kept.valid_until + _GRACE):
        return _free(now)
    return Allowance(
        plan=kept.plan,
        tokens=kept.tokens_per_period,
        overage=kept.overage,
        generations=kept.concurrent_generations,
        models=tuple(kept.models),
        period=_period(kept, now),
    )


async def of_caller(database: Database) -> Allowance:
    """What the caller may do now."""
    async with database.direct() as driver:
        return await allowance(driver, identity.user_id(), now=datetime.now(UTC))


async def keep(session: AsyncSession, told: EntitlementsChanged) -> None:
    """Keep the snapshot unless it is older than what is kept, or its user's account was deleted."""
    driver = await postgres.driver_of(session)
    await store.lock_owner(driver, told.user_id)
    if await store.owner_is_deleted(driver, told.user_id):
        return
    limits = told.limits
    has_tokens, has_generations = limits.HasField("tokens_per_period"), limits.HasField("concurrent_generations")
    snapshot = {
        "owner_id": told.user_id,
        "version": told.version,
        "plan": told.plan,
        "tokens_per_period": limits.tokens_per_period if has_tokens else None,
        "overage": limits.overage,
        "concurrent_generations": limits.concurrent_generations if has_generations else None,
        "models": list(limits.models),
        "period_start": _moment(told.period_start) if told.HasField("period_start") else None,
        "period_end": _moment(told.period_end) if told.HasField("period_end") else None,
        "valid_until": _moment(told.valid_until) if told.HasField("valid_until") else None,
    }
    await usage_store.keep_entitlement(session, snapshot)


@cache
def _free_plan() -> _FreePlan:
    return _FreePlan.model_validate(tomllib.loads(FREE_PLAN.read_text(encoding="utf-8")))


def _free(now: datetime) -> Allowance:
    plan = _free_plan()
    return Allowance(
        plan=plan.plan, tokens=plan.tokens_per_period, generations=plan.concurrent_generations, period=_month(now)
    )


def _period(kept: Entitlement, now: datetime) -> Period:
    """The snapshot's period, or the one as long that `now` is in while news of the next is late; else the month."""
    start, end = kept.period_start, kept.period_end
    if start is None or end is None or end <= start:
        return _month(now)
    later = max((now - start) // (end - start), 0) * (end - start)
    return Period(start + later, end + later)


def _month(now: datetime) -> Period:
    """The calendar month, UTC."""
    start = datetime(now.year, now.month, 1, tzinfo=UTC)
    return Period(start, datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC))


def _moment(told: Timestamp) -> datetime:
    return told.ToDatetime(tzinfo=UTC)


def _matches(pattern: str, name: str) -> bool:
    """Whether the name is that pattern, in which `*` stands for any text."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), name) is not None
