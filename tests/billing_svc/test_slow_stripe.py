"""A Stripe that answers late holds up those who subscribe, and nobody else."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, web
from chatmesh.billing.v1 import billing_pb2 as pb

from billing_svc.emulator.webhooks import signature
from svckit.ids import new_id
from tests.billing_svc.conftest import SECRETS, Start
from tests.billing_svc.stripe_side import StripeSide
from tests.waiting import PATIENCE

_MORE_THAN_CONNECTIONS = 12
_MORE_THAN_TURNS = 6
_PASSED_ON = ("Authorization", "Content-Type", "Idempotency-Key", "Stripe-Version")


class SlowStripe:
    """Passes everything on to the emulator, but keeps lists of subscriptions to itself until `release` is set."""

    def __init__(self, behind: str, session: ClientSession) -> None:
        self._behind = behind
        self._session = session
        self.release = asyncio.Event()
        self.made = 0

    async def answer(self, request: web.Request) -> web.Response:
        if request.method == "GET" and request.path == "/v1/subscriptions":
            await self.release.wait()
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        body = await request.read()
        url = self._behind + request.path_qs
        async with self._session.request(request.method, url, data=body, headers=headers) as answer:
            self.made += (request.method, request.path) == ("POST", "/v1/subscriptions")
            return web.Response(status=answer.status, body=await answer.read(), content_type="application/json")


@asynccontextmanager
async def slow(behind: str) -> AsyncIterator[tuple[SlowStripe, str]]:
    async with ClientSession() as session:
        stripe, app = SlowStripe(behind, session), web.Application()
        app.router.add_route("*", "/{rest:.*}", stripe.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield stripe, f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


async def test_who_only_reads_or_delivers_is_not_held_up_and_all_the_rest_comes_to_its_end(
    start: Start,
    stripe_side: StripeSide,
    new_database: Callable[[], Awaitable[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with (
        slow(stripe_side.url) as (stripe, url),
        start(stripe_api_base=url, database_url=await new_database()) as billing,
    ):
        stripe.release.set()
        before, administrator = billing.customer(), billing.administrator()
        await before.subscribe()
        (paid,) = (await before.payments()).payments
        stripe.release.clear()
        customers = [billing.customer() for _ in range(_MORE_THAN_CONNECTIONS)]
        subscribing = [asyncio.create_task(customer.subscribe()) for customer in customers]
        async with asyncio.timeout(PATIENCE):
            while stripe.made <= _MORE_THAN_CONNECTIONS:
                await asyncio.sleep(0.01)
        confirming = [asyncio.create_task(before.confirm(paid.id)) for _ in range(_MORE_THAN_TURNS)]
        assert (await billing.customer().entitlements()).plan_id == "free"
        comparing = asyncio.create_task(administrator.reconcile(user_id=before.id))

        await billing.as_edge.ReceiveStripeEvent(_webhook(await stripe_side.customers(before.id)))
        assert (await before.entitlements()).plan_id == "pro"
        stripe.release.set()
        assert {made.plan_id for made in await asyncio.gather(*subscribing)} == {"pro"}
        assert {payment.id for payment in await asyncio.gather(*confirming)} == {paid.id}
        assert (await comparing).repaired == 0
    # Whoever waits for somebody who waits for them is let go by PostgreSQL in the end, and asked again.
    assert "postgres unavailable" not in "".join(capsys.readouterr())


def _webhook(customers: Sequence[str]) -> pb.ReceiveStripeEventRequest:
    about = {"id": f"evt_{new_id()}", "type": "invoice.paid", "created": int(time.time()), "livemode": False}
    payload = json.dumps(about | {"data": {"object": {"customer": customers[0]}}}).encode()
    header = signature(payload, SECRETS[0], now=int(time.time()))
    return pb.ReceiveStripeEventRequest(payload=payload, signature=header)
