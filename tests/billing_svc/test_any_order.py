"""Whatever order a customer's webhooks come in, however often, and whatever crashes: the same rows at the end.

The crashes are the database's: every connection of the service is cut, in the middle of whatever it does.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from random import Random

import grpc
from chatmesh.billing.v1 import billing_pb2 as pb
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from billing_svc import drift
from billing_svc.emulator.objects import Json
from billing_svc.emulator.webhooks import signature
from svckit.postgres import Database
from tests.billing_svc.conftest import SECRETS, Billing
from tests.billing_svc.customer import Customer
from tests.billing_svc.stripe_side import StripeSide
from tests.waiting import until

# Few, because each is a whole customer's life on real engines.
_LIVES = 3
_CUT = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name = 'billing'"
)

Said = Sequence[tuple[str, dict[str, object]]]


@settings(max_examples=_LIVES, deadline=None, derandomize=True, phases=[Phase.generate])
@given(random=st.randoms(use_true_random=False))
async def test_any_order_and_number_of_webhooks_ends_in_the_same_rows(
    random: Random, billing: Billing, database: Database, stripe_side: StripeSide
) -> None:
    customer = await _begun(billing)
    (theirs,) = await stripe_side.customers(customer.id)
    delivered: list[Json] = []
    life = _life(stripe_side, customer, theirs)
    crash = random.randrange(len(life))
    for step, act in enumerate(life):
        await act()
        told = [each for each in await stripe_side.events(theirs) if each not in delivered]
        now = random.sample(told, random.randint(0, len(told)))
        sent = [*now, *random.choices(now or told, k=3)]
        await asyncio.gather(*(_send(billing, each) for each in sent), *([_crash(database)] if step == crash else []))
        delivered += now
    told = await stripe_side.events(theirs)
    await asyncio.gather(*(_send(billing, each) for each in random.sample(told * 2, len(told) * 2)))
    await _until_applied(billing, theirs)

    assert await _said(database, customer) == _EXPECTED
    assert (await customer.entitlements()).plan_id == "free"
    assert (await billing.administrator().reconcile(user_id=customer.id)).repaired == 0


async def _begun(billing: Billing) -> Customer:
    customer = billing.customer()
    await customer.subscribe("pro")
    await customer.pay(1500)
    return customer


def _life(stripe_side: StripeSide, customer: Customer, theirs: str) -> Sequence[Callable[[], Awaitable[object]]]:
    """What happens at Stripe without us: refunds, a payment that fails and one that does not, the end."""
    stripe = stripe_side.client.v1

    async def refund_a_part() -> None:
        await stripe.refunds.create_async(
            {"payment_intent": (await stripe_side.payments(customer.id))[1].id, "amount": 600}
        )

    async def refund_the_rest() -> None:
        await stripe.refunds.create_async({"payment_intent": (await stripe_side.payments(customer.id))[1].id})

    async def pay_in_two_tries() -> None:
        made = await stripe.payment_intents.create_async({"customer": theirs, "amount": 900, "currency": "usd"})
        await stripe.payment_intents.confirm_async(made.id, {"payment_method": "pm_card_visa"})

    async def cancel() -> None:
        await stripe.subscriptions.cancel_async((await stripe_side.subscriptions(customer.id))[0].id)

    return refund_a_part, pay_in_two_tries, refund_the_rest, cancel


_EXPECTED = [
    ("invoice", {"status": "paid", "total_minor": "20.00 USD", "amount_due_minor": "0.00 USD"}),
    ("payment", {"status": "succeeded", "amount_minor": "15.00 USD", "refunded_minor": "15.00 USD"}),
    ("payment", {"status": "succeeded", "amount_minor": "20.00 USD", "refunded_minor": "0.00 USD"}),
    ("payment", {"status": "succeeded", "amount_minor": "9.00 USD", "refunded_minor": "0.00 USD"}),
    ("refund", {"status": "succeeded", "amount_minor": "6.00 USD"}),
    ("refund", {"status": "succeeded", "amount_minor": "9.00 USD"}),
    ("subscription", {"status": "canceled", "plan_id": "pro", "amount_minor": "20.00 USD"}),
]


async def _said(database: Database, customer: Customer) -> list[tuple[str, dict[str, object]]]:
    """The customer's rows without their ids and times, in an order of their own."""
    async with database.transaction() as session:
        found = await drift.picture(session, customer.id)
    wanted = ("status", "plan_id", "total_minor", "amount_due_minor", "amount_minor", "refunded_minor")
    rows = [(kind, {name: said[name] for name in wanted if name in said}) for (kind, _), said in found.items()]
    return sorted(rows, key=lambda row: (row[0], str(row[1].get("amount_minor", ""))))


async def _crash(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(_CUT)


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


async def _until_applied(billing: Billing, customer: str) -> None:
    """What a crash interrupted is applied again at once, instead of when its pause is over."""
    administrator = billing.administrator()

    async def none(*statuses: str) -> bool:
        return not any([(await administrator.webhooks(customer=customer, status=each)).events for each in statuses])

    await until(lambda: none("received"))
    for event in (await administrator.webhooks(customer=customer, status="failed", page_size=100)).events:
        await administrator.replay(event.id)
    await until(lambda: none("received", "failed", "dead"))
