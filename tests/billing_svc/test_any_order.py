"""Whatever order a customer's webhooks come in, however often, and whatever crashes: the same state at the end.

The service is killed, or all connections of its database are cut, in the middle of whatever it does. Every run draws
other orders and other moments, from a seed that is shown when the test fails.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Sequence
from random import Random, randrange

import grpc
import pytest
from chatmesh.billing.v1 import billing_pb2 as pb
from sqlalchemy import text

from billing_svc.emulator.objects import Json
from billing_svc.emulator.webhooks import signature
from billing_svc.settings import BillingSettings
from svckit import events, postgres
from svckit.errors import Unavailable
from svckit.postgres import Database
from tests.billing_svc.conftest import SECRETS, Billing
from tests.billing_svc.life import Life, State, state
from tests.billing_svc.process import apart, restart
from tests.billing_svc.stripe_side import StripeSide
from tests.waiting import until

# Few, because each is a whole customer's life on real engines.
_LIVES = 2
_CUT = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name = 'billing'"
)

_EXPECTED = State(
    rows=[
        ("invoice", {"status": "paid", "total_minor": "0.00 USD", "amount_due_minor": "0.00 USD"}),
        ("invoice", {"status": "paid", "total_minor": "20.00 USD", "amount_due_minor": "0.00 USD"}),
        ("invoice", {"status": "paid", "total_minor": "30.00 USD", "amount_due_minor": "0.00 USD"}),
        ("payment", {"status": "succeeded", "amount_minor": "15.00 USD", "refunded_minor": "15.00 USD"}),
        ("payment", {"status": "succeeded", "amount_minor": "20.00 USD", "refunded_minor": "0.00 USD"}),
        ("payment", {"status": "succeeded", "amount_minor": "30.00 USD", "refunded_minor": "0.00 USD"}),
        ("payment", {"status": "succeeded", "amount_minor": "9.00 USD", "refunded_minor": "0.00 USD"}),
        ("refund", {"status": "succeeded", "amount_minor": "6.00 USD"}),
        ("refund", {"status": "succeeded", "amount_minor": "9.00 USD"}),
        ("subscription", {"status": "canceled", "plan_id": "team", "amount_minor": "50.00 USD"}),
    ],
    plan="free",
    told=Counter(
        [
            ("SubscriptionCreated", 0),
            *(("InvoiceFinalized", amount) for amount in (0, 2000, 3000)),
            *(("PaymentSucceeded", amount) for amount in (900, 1500, 2000, 3000)),
            *(("PaymentRefunded", amount) for amount in (600, 900)),
            ("SubscriptionCancelled", 0),
        ]
    ),
    revenue_moved=0,
    timeline=Counter(
        [
            ("subscription.created", 5000),
            *(("invoice.paid", amount) for amount in (0, 2000, 3000)),
            *(("payment.succeeded", amount) for amount in (900, 1500, 2000, 3000)),
            *(("refund.succeeded", amount) for amount in (600, 900)),
            ("subscription.canceled", 5000),
        ]
    ),
)


@pytest.mark.timeout(300)  # seconds; three starts of a process on a busy machine
async def test_any_order_and_number_of_webhooks_and_any_crash_ends_in_the_same_state(
    alone: BillingSettings, stripe_side: StripeSide
) -> None:
    seed = randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    random = Random(seed)
    async with (
        apart(alone) as (process, billing),
        postgres.connected(str(alone.database_url)) as database,
        events.connected(alone.nats_url) as bus,
    ):
        await billing.customer().subscribe("team")  # from now on Stripe has its price
        lives = [await Life.begun(billing, stripe_side) for _ in range(_LIVES)]
        acts = range(len(lives[0].acts))
        kills = random.sample(acts, 2)
        for step in acts:
            await asyncio.gather(*(life.acts[step]() for life in lives))
            crash = restart(process, billing) if step in kills else _cut(database)
            await _tell(random, billing, [each for life in lives for each in await _some(random, life)], crash)
        await _tell(
            random, billing, [each for life in lives for each in await life.events()], restart(process, billing)
        )
        for life in lives:
            await _until_applied(life)
        found = [await state(life, database, bus) for life in lives]

        assert found == [_EXPECTED] * _LIVES
        for life in lives:
            assert (await billing.administrator().reconcile(user_id=life.customer.id)).repaired == 0


async def _some(random: Random, life: Life) -> list[Json]:
    """A part of what there is to tell, and some of it again."""
    news = await life.news()
    now = random.sample(news, random.randint(0, len(news)))
    life.delivered += now
    return [*now, *random.choices(now or news, k=2)]


async def _tell(random: Random, billing: Billing, told: Sequence[Json], crash: Awaitable[None]) -> None:
    """In any order; the crash comes while some are being sent and others are being applied."""
    mixed = random.sample(told, len(told))
    place = random.randrange(len(mixed) + 1)
    await asyncio.gather(*(_send(billing, each) for each in mixed[:place]))
    await asyncio.gather(crash, *(_send(billing, each) for each in mixed[place:]))


async def _cut(database: Database) -> None:
    async def cut() -> bool:
        try:
            async with database.transaction() as session:
                await session.execute(_CUT)
        except Unavailable:  # a busy PostgreSQL lets nobody in for a while
            return False
        return True

    await until(cut)


async def _send(billing: Billing, event: Json) -> None:
    """What is not taken is sent again, as Stripe does."""
    payload = json.dumps(event).encode()
    header = signature(payload, SECRETS[1], now=int(time.time()))
    request = pb.ReceiveStripeEventRequest(payload=payload, signature=header)

    async def taken() -> bool:
        try:
            await billing.as_edge.ReceiveStripeEvent(request)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False
        return True

    await until(taken)


async def _until_applied(life: Life) -> None:
    """What a crash interrupted is applied again at once, instead of when its pause is over."""
    administrator = life.billing.administrator()

    async def none(*statuses: str) -> bool:
        listed = [await administrator.webhooks(customer=life.at_stripe, status=each) for each in statuses]
        return not any(each.events for each in listed)

    await until(lambda: none("received"))
    for event in (await administrator.webhooks(customer=life.at_stripe, status="failed", page_size=100)).events:
        await administrator.replay(event.id)
    await until(lambda: none("received", "failed", "dead"))
