"""What administrators look after: webhooks that were not applied, and what happened with a customer."""

import json
import time
from collections.abc import Awaitable
from datetime import UTC, datetime

import pytest
from chatmesh.billing.v1 import billing_pb2 as pb

from billing_svc import event_store
from billing_svc.emulator.objects import new_id as stripe_id
from svckit.errors import InvalidArgument, NotFound, PermissionDenied
from svckit.ids import new_id
from svckit.postgres import Database
from tests.billing_svc.administrator import Administrator
from tests.billing_svc.customer import Customer
from tests.billing_svc.stripe_side import StripeSide
from tests.callers import refusal
from tests.waiting import until


async def _dead(database: Database, customer: str) -> str:
    """A webhook about the customer that was given up; its id."""
    event = {"id": stripe_id("evt"), "type": "invoice.paid", "created": int(time.time())}
    now = datetime.now(UTC)
    row = {
        **event,
        "customer": customer,
        "payload": json.dumps(event).encode(),
        "created_at": now,
        "received_at": now,
        "due_at": now,
        "status": "dead",
        "attempts": 8,
        "last_error": "the payment provider does not answer, try again",
    }
    del row["created"]
    async with database.transaction() as session:
        await event_store.keep_event(session, row)
    return str(event["id"])


async def test_a_dead_webhook_is_listed_and_applied_when_it_is_replayed(
    database: Database, customer: Customer, administrator: Administrator, stripe_side: StripeSide
) -> None:
    paid = await customer.pay(1500)
    (theirs,) = await stripe_side.customers(customer.id)
    intent = (await stripe_side.payments(customer.id))[0]
    await stripe_side.client.v1.refunds.create_async({"payment_intent": intent.id, "amount": 500})
    events = [await _dead(database, theirs) for _ in range(3)]
    first = await administrator.webhooks(customer=theirs, status="dead", page_size=2)
    rest = await administrator.webhooks(customer=theirs, status="dead", page_token=first.next_page_token)
    replayed = await administrator.replay(events[0])

    async def applied() -> bool:
        listed = (await administrator.webhooks(customer=theirs, type="invoice.paid", status="applied")).events
        return [each.id for each in listed] == events[:1]

    await until(applied)
    assert [each.id for each in (*first.events, *rest.events)] == events[::-1]
    assert (first.events[0].attempts, first.events[0].customer) == (8, theirs)
    assert "does not answer" in first.events[0].last_error
    assert (replayed.status, replayed.attempts, replayed.last_error) == ("received", 0, "")
    assert (await customer.payment(paid.id)).refunded.amount_minor == 500
    assert not (await administrator.webhooks(customer="cus_of_nobody")).events


async def test_a_timeline_tells_everything_newest_first(
    database: Database, customer: Customer, administrator: Administrator, stripe_side: StripeSide
) -> None:
    await customer.subscribe("pro")
    await refusal(customer.pay(700, payment_method="pm_card_chargeDeclined"))
    paid = await customer.pay(1500, description="A book")
    await administrator.refund(paid.id, 400, reason="It came late")
    await _dead(database, (await stripe_side.customers(customer.id))[0])
    told: list[pb.TimelineEntry] = []
    page = await administrator.timeline(customer.id, page_size=2)
    told += page.entries
    while page.next_page_token:
        page = await administrator.timeline(customer.id, page_size=2, page_token=page.next_page_token)
        told += page.entries

    assert sorted(each.time.ToNanoseconds() for each in told) == [each.time.ToNanoseconds() for each in told][::-1]
    by_type = {each.type: each for each in told}
    assert len(told) == 7
    assert set(by_type) == {
        "subscription.created",
        "invoice.paid",
        "payment.succeeded",
        "payment.failed",
        "refund.succeeded",
        "webhook.dead",
    }
    assert (by_type["refund.succeeded"].amount.amount_minor, by_type["refund.succeeded"].summary) == (
        400,
        "It came late",
    )
    assert by_type["payment.failed"].summary == "generic_decline"
    assert not by_type["webhook.dead"].HasField("amount")


async def test_only_administrators_look_after_customers(customer: Customer, administrator: Administrator) -> None:
    calls: list[Awaitable[object]] = [
        customer.stub.ListStripeEvents(pb.ListStripeEventsRequest(), metadata=customer.metadata),
        customer.stub.ReplayStripeEvent(pb.ReplayStripeEventRequest(event_id="evt_1"), metadata=customer.metadata),
        customer.stub.GetBillingTimeline(pb.GetBillingTimelineRequest(user_id=customer.id), metadata=customer.metadata),
        customer.stub.Reconcile(pb.ReconcileRequest(), metadata=customer.metadata),
    ]

    assert {type(await refusal(call)) for call in calls} == {PermissionDenied}
    assert isinstance(await refusal(administrator.replay("evt_of_nobody")), NotFound)
    assert isinstance(await refusal(administrator.timeline(new_id())), NotFound)


@pytest.mark.parametrize("token", ["!", "bm9uc2Vuc2U", "MjAyNi0xMS0yNSB4"])
async def test_a_token_of_no_page_is_refused(administrator: Administrator, token: str) -> None:
    refused = await refusal(administrator.webhooks(page_token=token))

    assert isinstance(refused, InvalidArgument)
    assert (refused.reason, refused.violations[0].field) == ("PAGE_TOKEN_INVALID", "page_token")
