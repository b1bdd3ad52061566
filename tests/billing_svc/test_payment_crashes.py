"""A crash or a lost answer at any step of paying and giving back: never twice, and ended without anybody's help."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
import pytest
from chatmesh.billing.v1 import billing_pb2 as pb
from sqlalchemy import select, update

from billing_svc import models
from billing_svc.settings import BillingSettings
from svckit.errors import Unavailable
from svckit.postgres import Database
from tests.billing_svc.administrator import Administrator
from tests.billing_svc.conftest import Billing, Start
from tests.billing_svc.customer import Customer
from tests.billing_svc.process import apart
from tests.billing_svc.stripe_side import StripeSide
from tests.callers import refusal
from tests.waiting import until

# The SDK asks three times before it gives up.
_ALL_TRIES = 3


@pytest.mark.parametrize("effect", ["drop", "fail", "busy"])
async def test_a_repeat_settles_a_payment_whose_answer_was_lost_or_that_stripe_failed_or_put_off(
    customer: Customer, stripe_side: StripeSide, effect: str
) -> None:
    await stripe_side.spoil("/v1/payment_intents", effect, times=1 if effect == "fail" else _ALL_TRIES)
    open_ = await refusal(customer.pay(1500, key="once"))
    made = await customer.pay(1500, key="once")

    assert isinstance(open_, Unavailable)
    assert made.status == pb.PAYMENT_STATUS_SUCCEEDED
    assert len(await stripe_side.payments(customer.id)) == 1


@pytest.mark.parametrize("effect", ["drop", "fail", "busy"])
async def test_a_repeat_settles_a_refund_whose_answer_was_lost_or_that_stripe_failed_or_put_off(
    customer: Customer, administrator: Administrator, stripe_side: StripeSide, effect: str
) -> None:
    """What nobody knows to be given back is shown as on its way, and cannot be given back a second time."""
    paid = await customer.pay(1500)
    await stripe_side.spoil("/v1/refunds", effect, times=1 if effect == "fail" else _ALL_TRIES)
    open_ = await refusal(administrator.refund(paid.id, 1500, idempotency_key="once"))
    reserved = await customer.payment(paid.id)
    second = await refusal(administrator.refund(paid.id, 1))
    made = await administrator.refund(paid.id, 1500, idempotency_key="once")

    assert (type(open_), second.reason) == (Unavailable, "REFUND_TOO_LARGE")
    assert reserved.refunded == reserved.refund_pending == made.payment.refunded
    assert (reserved.status, made.payment.status) == (pb.PAYMENT_STATUS_SUCCEEDED, pb.PAYMENT_STATUS_REFUNDED)
    assert (made.refund.status, made.payment.refund_pending.amount_minor) == (pb.REFUND_STATUS_SUCCEEDED, 0)
    assert [each.amount for each in await stripe_side.refunds(customer.id)] == [1500]


async def test_what_nobody_waits_for_any_more_is_not_charged(
    start: Start, database: Database, customer: Customer, stripe_side: StripeSide
) -> None:
    await stripe_side.spoil("/v1/payment_intents", "fail")
    await refusal(customer.pay())
    async with database.transaction() as session:
        late = update(models.Payment).where(models.Payment.user_id == customer.id)
        await session.execute(late.values(created_at=models.Payment.created_at - timedelta(minutes=11)))

    async with start():
        kept = await _settled(customer)

    assert (kept.status, kept.decline_code) == (pb.PAYMENT_STATUS_FAILED, "abandoned")
    assert await stripe_side.payments(customer.id) == []


async def _settled(customer: Customer) -> pb.Payment:
    """The customer's only payment, once nothing of it is under way."""

    async def settled() -> pb.Payment | None:
        (payment,) = (await customer.payments()).payments
        return payment if payment.status != pb.PAYMENT_STATUS_PROCESSING else None

    payment = await until(settled)
    assert payment
    return payment


async def test_a_process_that_is_killed_at_any_step_charges_once_and_gives_back_once(
    settings: BillingSettings, start: Start, billing: Billing, database: Database, stripe_side: StripeSide
) -> None:
    """After our row and before Stripe, after Stripe and before its answer, and before our own commit: all at once."""
    async with apart(settings) as (process, killed):
        payers = [billing.customer() for _ in range(6)]
        before_stripe, after_stripe, before_commit, *refunded = payers
        paid = [await each.pay(1500) for each in refunded]
        first = await before_commit.pay(700)
        asking = [
            await _held(stripe_side, "/v1/customers", _of(killed, before_stripe).pay(1500)),
            await _held(stripe_side, "/v1/payment_intents", _of(killed, after_stripe).pay(1500)),
            await _held(stripe_side, "/v1/refunds", killed.administrator().refund(paid[0].id, 1000)),
            await _held(stripe_side, "/v1/refunds", killed.administrator().refund(paid[1].id, 1000), effect="stall"),
        ]
        assert await stripe_side.refunds(refunded[1].id) == []
        async with _locked(database, before_commit), _locked(database, refunded[2]):
            asking += [
                asyncio.create_task(_of(killed, before_commit).pay(1500)),
                asyncio.create_task(killed.administrator().refund(paid[2].id, 1000)),
            ]
            await until(lambda: _many(stripe_side.payments(before_commit.id), 2))
            await until(lambda: _many(stripe_side.refunds(refunded[2].id), 1))
            await process.kill()
            await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(each.exception(), grpc.aio.AioRpcError) for each in asking)

    async with start():
        settled = [await _settled(each) for each in (before_stripe, after_stripe, *refunded)]
        await until(lambda: _none_processing(before_commit))
        await until(lambda: _all_given_back(refunded, 1000))

    assert [each.status for each in settled] == [pb.PAYMENT_STATUS_SUCCEEDED] * 5
    for payer in (before_stripe, after_stripe, *refunded):
        assert len(await stripe_side.customers(payer.id)) == 1
        assert [each.amount for each in await stripe_side.payments(payer.id)] == [1500]
    assert [each.amount for each in await stripe_side.payments(before_commit.id)] == [700, 1500]
    assert first.id in {each.id for each in (await before_commit.payments()).payments}
    for payer in refunded:
        assert [each.amount for each in await stripe_side.refunds(payer.id)] == [1000]
        assert (await _settled(payer)).refunded.amount_minor == 1000


def _of(billing: Billing, customer: Customer) -> Customer:
    """The same user, asking another process."""
    return Customer(billing.stub, customer.id)


async def _held(
    stripe_side: StripeSide, path: str, call: Coroutine[Any, Any, object], *, effect: str = "hold"
) -> "asyncio.Task[object]":
    """The call, once Stripe has done what it asks at that path (`stall`: not done it) and holds its answer back."""
    await stripe_side.spoil(path, effect)
    asking = asyncio.create_task(call)

    async def held() -> bool:
        return path not in await stripe_side.faults()

    await until(held)
    return asking


@asynccontextmanager
async def _locked(database: Database, customer: Customer) -> AsyncIterator[None]:
    """Nobody can follow Stripe for the customer inside the block: what Stripe has done is not committed here."""
    async with database.transaction() as session:
        row = select(models.Customer).where(models.Customer.user_id == customer.id)
        await session.execute(row.with_for_update(key_share=True))
        yield


async def _many(found: Awaitable[Sequence[object]], wanted: int) -> bool:
    return len(await found) == wanted


async def _none_processing(customer: Customer) -> bool:
    listed = (await customer.payments()).payments
    return all(each.status == pb.PAYMENT_STATUS_SUCCEEDED for each in listed) and len(listed) == 2


async def _all_given_back(customers: Sequence[Customer], minor: int) -> bool:
    payments = [(await each.payments()).payments[0] for each in customers]
    return all((each.refunded.amount_minor, each.refund_pending.amount_minor) == (minor, 0) for each in payments)
