"""Webhooks: only Stripe's own count, each is kept once, and what they change is read from Stripe."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from chatmesh.billing.v1 import billing_pb2 as pb

from billing_svc import event_store
from billing_svc.emulator import server
from billing_svc.emulator.objects import Json, new_id
from billing_svc.emulator.webhooks import signature
from billing_svc.models import StripeEvent
from svckit import postgres
from svckit.errors import InvalidArgument, Unauthenticated
from svckit.local.ports import free_port
from svckit.postgres import Database
from tests.billing_svc.conftest import SECRETS, Billing, Start
from tests.billing_svc.customer import Customer
from tests.billing_svc.stripe_side import StripeSide, looking_at
from tests.callers import refusal
from tests.waiting import until

_ALL_TRIES = 3


def _event(**different: object) -> Json:
    about = {"id": "sub_of_nobody", "object": "subscription", "customer": "cus_nobody"}
    return {
        "id": new_id("evt"),
        "object": "event",
        "created": int(time.time()),
        "data": {"object": about},
        "livemode": False,
        "type": "customer.subscription.updated",
    } | different


async def _deliver(billing: Billing, event: Json, *, secret: str = SECRETS[0], age: int = 0) -> bytes:
    payload = json.dumps(event).encode()
    await _send(billing, payload, signature(payload, secret, now=int(time.time()) - age))
    return payload


async def _send(billing: Billing, payload: bytes, header: str) -> None:
    await billing.as_edge.ReceiveStripeEvent(pb.ReceiveStripeEventRequest(payload=payload, signature=header))


async def _kept(database: Database, event: Json) -> StripeEvent | None:
    async with database.transaction() as session:
        return await session.get(StripeEvent, event["id"])


async def _settled(database: Database, event: Json, status: str, *, error: str = "") -> StripeEvent:
    async def settled() -> StripeEvent | None:
        row = await _kept(database, event)
        return row if row and row.status == status and error in row.last_error else None

    row = await until(settled)
    assert row
    return row


async def _half_subscribed(customer: Customer, stripe_side: StripeSide) -> list[Json]:
    """Stripe has subscribed the customer and we do not know; what Stripe will tell us."""
    await stripe_side.spoil("/v1/subscriptions", "drop", times=_ALL_TRIES)
    await refusal(customer.subscribe("pro"))
    return await stripe_side.events((await stripe_side.customers(customer.id))[0])


async def test_a_webhook_brings_what_we_did_not_hear(
    billing: Billing, customer: Customer, stripe_side: StripeSide
) -> None:
    events = await _half_subscribed(customer, stripe_side)
    before = await customer.subscriptions()
    await _deliver(billing, events[-1])
    made = (await until(customer.subscriptions))[0]

    assert before == []
    assert made.status == pb.SUBSCRIPTION_STATUS_ACTIVE
    assert (await customer.entitlements()).plan_id == "pro"
    assert len((await customer.invoices()).invoices) == 1


async def test_copies_in_any_order_change_nothing_more(
    billing: Billing, database: Database, customer: Customer, stripe_side: StripeSide
) -> None:
    events = await _half_subscribed(customer, stripe_side)
    sent = [event for event in events for _ in range(3)]
    random.Random(7).shuffle(sent)

    await asyncio.gather(*(_deliver(billing, event) for event in sent))

    for event in events:
        applied = event["type"].startswith(("customer.subscription.", "invoice.", "payment_intent."))
        await _settled(database, event, "applied" if applied else "ignored")
    assert len(await customer.subscriptions()) == 1
    assert len((await customer.invoices()).invoices) == 1
    assert (await customer.entitlements()).version == 1


@pytest.mark.parametrize("secret", SECRETS)
async def test_either_secret_counts_while_it_is_changed(billing: Billing, database: Database, secret: str) -> None:
    event = _event()
    await _deliver(billing, event, secret=secret)

    assert await _kept(database, event)


async def test_a_clock_that_is_a_little_ahead_is_forgiven(billing: Billing, database: Database) -> None:
    event = _event()
    await _deliver(billing, event, age=-30)

    assert await _kept(database, event)


@pytest.mark.parametrize(
    ("secret", "age"),
    [("whsec_of_a_forger", 0), (SECRETS[0], 310), (SECRETS[0], -120), (SECRETS[0], -3600)],
    ids=["forged", "stale", "from the future", "an hour from the future"],
)
async def test_a_signature_that_does_not_count_leaves_nothing(
    billing: Billing, database: Database, secret: str, age: int
) -> None:
    event = _event()
    error = await refusal(_deliver(billing, event, secret=secret, age=age))

    assert isinstance(error, InvalidArgument)
    assert error.reason == "SIGNATURE_INVALID"
    assert await _kept(database, event) is None


@pytest.mark.parametrize("header", ["nonsense", "t=,v1=", "t=soon,v1=00", "v1=00", "t={now}", ",,,"])
async def test_a_header_that_is_none_is_refused(billing: Billing, header: str) -> None:
    header = header.format(now=int(time.time()))
    refused = await refusal(_send(billing, json.dumps(_event()).encode(), header))

    assert refused.reason == "SIGNATURE_INVALID"


async def test_a_body_that_was_touched_is_refused(billing: Billing) -> None:
    payload = json.dumps(_event()).encode()
    header = signature(payload, SECRETS[0], now=int(time.time()))

    refused = await refusal(_send(billing, payload + b" ", header))

    assert refused.reason == "SIGNATURE_INVALID"


@pytest.mark.parametrize("payload", [b"[]", b"{}", b"not json", b'{"id": "evt_1", "data": {"object": 1}}'])
async def test_what_is_signed_but_no_event_is_refused(billing: Billing, payload: bytes) -> None:
    error = await refusal(_send(billing, payload, signature(payload, SECRETS[0], now=int(time.time()))))

    assert isinstance(error, InvalidArgument)
    assert error.violations[0].field == "payload"


async def test_only_our_own_services_may_deliver(billing: Billing, customer: Customer) -> None:
    request = pb.ReceiveStripeEventRequest(payload=b"{}", signature="t=1,v1=00")
    refused = await refusal(billing.stub.ReceiveStripeEvent(request, metadata=customer.metadata))

    assert isinstance(refused, Unauthenticated)


@pytest.mark.parametrize(
    "different",
    [{}, {"type": "radar.early_fraud_warning.created"}, {"livemode": True}],
    ids=["a customer that is not ours", "a type that we do not use", "real money in a test"],
)
async def test_what_is_not_for_us_is_kept_and_ignored(
    billing: Billing, database: Database, different: dict[str, object]
) -> None:
    event = _event(**different)
    payload = await _deliver(billing, event)
    kept = await _settled(database, event, "ignored")

    assert bytes(kept.payload) == payload


async def test_of_two_contents_with_one_id_the_first_is_kept(billing: Billing, database: Database) -> None:
    event = _event()
    payload = await _deliver(billing, event)
    await _deliver(billing, event | {"type": "invoice.paid"})
    kept = await _kept(database, event)

    assert kept
    assert bytes(kept.payload) == payload


async def test_a_webhook_that_nobody_lived_to_finish_is_given_up_in_the_end(
    billing: Billing, database: Database
) -> None:
    event = _event()
    row = {
        "id": event["id"],
        "type": event["type"],
        "customer": "cus_nobody",
        "payload": json.dumps(event).encode(),
        "created_at": datetime.now(UTC),
        "received_at": datetime.now(UTC),
        "due_at": datetime.now(UTC),
        "status": "failed",
        "attempts": 8,
        "last_error": "it was begun and not finished",
    }
    async with database.transaction() as session:
        await event_store.keep_event(session, row)

    await _settled(database, event, "dead", error="begun and not finished")


async def test_a_webhook_waits_for_stripe_to_come_back(
    start: Start, new_database: Callable[[], Awaitable[str]], tmp_path: Path
) -> None:
    listen, data = f"127.0.0.1:{free_port()}", tmp_path / "emulator.sqlite"

    def emulator() -> AbstractAsyncContextManager[str]:
        return server.running(listen=listen, data=data, webhook_url="", webhook_secret="")

    async with start(stripe_api_base=f"http://{listen}", database_url=await new_database()) as billing:
        customer = billing.customer()
        async with emulator() as url, looking_at(url) as stripe_side:
            event = (await _half_subscribed(customer, stripe_side))[-1]
        async with postgres.connected(str(billing.settings.database_url)) as database:
            await _deliver(billing, event)
            failed = await _settled(database, event, "failed", error="provider does not answer")
            async with emulator():
                await _settled(database, event, "applied")

        assert failed.attempts >= 1
        assert [each.plan_id for each in await customer.subscriptions()] == ["pro"]
        assert (await customer.entitlements()).version == 1


async def test_the_emulators_own_webhooks_arrive_although_the_first_try_fails(
    start: Start, new_database: Callable[[], Awaitable[str]], tmp_path: Path
) -> None:
    """From the emulator over HTTP to the edge's place, and on with the raw bytes."""
    tries: list[str] = []

    async with (
        _forwarding() as (url, forward_to),
        server.running(
            listen="127.0.0.1:0", data=tmp_path / "e.sqlite", webhook_url=url, webhook_secret=SECRETS[1]
        ) as stripe_url,
        start(stripe_api_base=stripe_url, database_url=await new_database()) as billing,
        looking_at(stripe_url) as stripe_side,
    ):

        async def forward(payload: bytes, header: str) -> None:
            tries.append(json.loads(payload)["id"])
            if tries.count(tries[-1]) == 1:
                raise web.HTTPServiceUnavailable
            await _send(billing, payload, header)

        forward_to(forward)
        customer = billing.customer()
        await _half_subscribed(customer, stripe_side)
        made = (await until(customer.subscriptions))[0]

        assert made.status == pb.SUBSCRIPTION_STATUS_ACTIVE
        assert len(tries) > len(set(tries))


async def test_webhooks_that_race_with_our_own_answer_change_nothing(
    start: Start, new_database: Callable[[], Awaitable[str]], tmp_path: Path
) -> None:
    async with (
        _forwarding() as (url, forward_to),
        server.running(
            listen="127.0.0.1:0", data=tmp_path / "e.sqlite", webhook_url=url, webhook_secret=SECRETS[1]
        ) as stripe_url,
        start(stripe_api_base=stripe_url, database_url=await new_database()) as billing,
        looking_at(stripe_url) as stripe_side,
        postgres.connected(str(billing.settings.database_url)) as database,
    ):
        forward_to(lambda payload, header: _send(billing, payload, header))
        customers = [billing.customer() for _ in range(5)]
        await asyncio.gather(*(customer.subscribe("pro") for customer in customers))

        for customer in customers:
            told = await stripe_side.events((await stripe_side.customers(customer.id))[0])
            await _settled(database, told[-1], "applied")
            assert len(await customer.subscriptions()) == 1
            assert len((await customer.invoices()).invoices) == 1
            assert (await customer.entitlements()).version == 1


Forward = Callable[[bytes, str], Awaitable[None]]


@asynccontextmanager
async def _forwarding() -> AsyncIterator[tuple[str, Callable[[Forward], None]]]:
    """An HTTP server that hands each webhook to whoever is named last."""
    forwards: list[Forward] = []

    async def take(request: web.Request) -> web.Response:
        await forwards[-1](await request.read(), request.headers["Stripe-Signature"])
        return web.Response()

    app = web.Application()
    app.router.add_post("/api/webhooks/stripe", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/api/webhooks/stripe", forwards.append
    finally:
        await runner.cleanup()
