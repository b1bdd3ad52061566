"""What plans allow: the free one from the start, any other as soon as billing tells of it."""

import re
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from chatmesh.chat.v1 import chat_pb2 as pb

from chat_svc import catalogue
from svckit.errors import PermissionDenied
from svckit.events import Bus
from tests.callers import refusal
from tests.chat_svc.conftest import Replica
from tests.chat_svc.plans import PERIOD, START, grant, standing, tell
from tests.chat_svc.user import User
from tests.waiting import until

SOLD = tomllib.loads((Path(__file__).parents[2] / "billing_svc" / "plans.toml").read_text())


async def available(user: User) -> set[str]:
    listed = await user.stub.ListModels(pb.ListModelsRequest(), metadata=user.metadata)
    return {model.id for model in listed.models if model.available}


async def test_everybody_begins_with_the_free_plan_as_billing_sells_it(user: User) -> None:
    now = await standing(user)

    start, end = (moment.ToDatetime(tzinfo=UTC) for moment in (now.period_start_time, now.period_end_time))
    assert (now.plan, now.tokens_used, now.tokens_reserved, now.overage) == ("free", 0, 0, False)
    assert now.tokens_limit == SOLD["free"]["tokens_per_month"]
    assert now.generations_limit == SOLD["free"]["concurrent_generations"]
    assert (start.day, start.hour, end.day, end.hour) == (1, 0, 1, 0)
    assert start <= datetime.now(UTC) < end <= start + timedelta(days=31)


def test_every_plan_has_models_and_none_that_billing_withholds_from_it() -> None:
    for plan, sold in SOLD.items():
        assert any(plan in model.plans for model in catalogue.read().models)
        patterns = [re.escape(pattern).replace(r"\*", ".*") for pattern in sold["models"]]
        for model in catalogue.read().models:
            if plan in model.plans:
                assert any(re.fullmatch(each, f"{model.provider}/{model.id}") for each in patterns), (plan, model.id)


async def test_a_model_above_the_plan_is_refused_by_every_rpc_that_may_name_one(user: User, bus: Bus) -> None:
    assert "gpt-4.1" not in await available(user)
    sent = await user.send()
    id_ = sent.conversation_id

    for call in (
        user.send(model="gpt-4.1"),
        user.create(model="gpt-4.1"),
        user.update(id_, model="gpt-4.1"),
        user.regenerate(id_, sent.message.id, model="gpt-4.1"),
    ):
        error = await refusal(call)
        assert isinstance(error, PermissionDenied)
        assert (error.reason, error.metadata["plans"]) == ("MODEL_NOT_IN_PLAN", "pro, team")

    await grant(bus, user)
    assert "gpt-4.1" in await available(user)
    paid = await user.send(model="gpt-4.1")
    made = await user.create(model="gpt-4.1")
    await grant(bus, user, plan="free", version=2)
    assert paid.message.model == "gpt-4.1"
    assert (await refusal(user.send(conversation_id=made.id))).reason == "MODEL_NOT_IN_PLAN"


async def test_only_newer_snapshots_count(user: User, stranger: User, bus: Bus) -> None:
    await grant(bus, user, plan="team", version=2)
    await tell(bus, user, plan="free", version=1)
    await tell(bus, user, plan="pro", version=2)
    await grant(bus, stranger)  # told after them

    assert (await standing(user)).plan == "team"


async def test_a_snapshot_may_allow_less_than_its_plan(user: User, bus: Bus) -> None:
    await tell(bus, user, models=["local/*", "openai/gpt-6*"])

    async def heard() -> bool:
        return (await standing(user)).plan == "pro"

    await until(heard)
    assert await available(user) == {"smollm2-135m", "gpt-6-luna", "gpt-6.1-sol"}


async def test_who_has_paid_keeps_the_plan_while_news_of_the_renewal_is_late_but_not_for_ever(
    user: User, other: Replica, bus: Bus
) -> None:
    late, lapsed = user, User(other.stub)
    ended_yesterday = datetime.now(UTC).replace(microsecond=0) - PERIOD - timedelta(days=1)
    await tell(bus, lapsed, start=ended_yesterday - timedelta(days=3))
    await tell(bus, late, start=ended_yesterday)

    async def heard() -> bool:
        return (await standing(late)).plan == "pro"

    await until(heard)
    assert (await standing(late)).period_start_time.ToDatetime(tzinfo=UTC) == ended_yesterday + PERIOD
    assert (await standing(lapsed)).plan == "free"


async def test_tokens_are_counted_in_the_period_that_billing_tells(user: User, bus: Bus) -> None:
    await user.send()
    before = await standing(user)
    await grant(bus, user)
    after = await standing(user)

    assert before.tokens_used > 0 == after.tokens_used
    assert after.period_start_time.ToDatetime(tzinfo=UTC) == START
    assert after.period_end_time.ToDatetime(tzinfo=UTC) == START + PERIOD
