"""`python -m billing_svc.emulator`: ready, honest about the money, and not forgetful."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import aiohttp
import stripe
from aiohttp import web

from billing_svc.emulator import server
from svckit.local.ports import free_port
from tests.billing_svc.contract.payer import Payer, item_of
from tests.billing_svc.stripe_side import StripeSide, looking_at
from tests.waiting import PATIENCE, until

_SECRET = "whsec_of_this_test"


@asynccontextmanager
async def _process(data: Path, **more: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, StripeSide]]:
    listen = f"127.0.0.1:{free_port()}"
    variables: Mapping[str, str] = {"LISTEN": listen, "EMULATOR_DATA": str(data)} | more
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "billing_svc.emulator", env=os.environ | variables, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with looking_at(f"http://{listen}") as side:
            await until(lambda: _ready(side))
            yield process, side
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def _ready(side: StripeSide) -> bool:
    try:
        async with side.session.get(f"{side.url}/readyz") as response:
            return response.ok
    except aiohttp.ClientConnectionError:
        return False


async def test_it_says_that_the_money_is_not_real_and_stops_when_asked(tmp_path: Path) -> None:
    async with _process(tmp_path / "deep" / "emulator.sqlite") as (process, _):
        process.terminate()
        output, _ = await process.communicate()

    assert b"Stripe emulator: no real money" in output
    assert process.returncode == 0


async def test_a_kill_forgets_nothing(tmp_path: Path) -> None:
    data = tmp_path / "emulator.sqlite"
    options: stripe.RequestOptions = {"idempotency_key": "once"}
    async with _process(data) as (process, side):
        made = await side.client.v1.customers.create_async({"metadata": {"user_id": "ada"}}, options)
        process.send_signal(signal.SIGKILL)
        await process.wait()

    async with _process(data) as (_, side):
        found = await side.client.v1.customers.retrieve_async(made.id)
        again = await side.client.v1.customers.create_async({"metadata": {"user_id": "ada"}}, options)

        assert found.to_dict() == made.to_dict()
        assert again.id == made.id
        assert await side.customers("ada") == [made.id]


async def test_a_webhook_outlives_a_kill_and_verifies_with_the_sdk(tmp_path: Path) -> None:
    data, port = tmp_path / "emulator.sqlite", free_port()
    webhooks = {"STRIPE_WEBHOOK_URL": f"http://127.0.0.1:{port}/", "STRIPE_WEBHOOK_SECRET": _SECRET}
    async with _process(data, **webhooks) as (process, side):
        made = await side.client.v1.customers.create_async({})
        process.send_signal(signal.SIGKILL)
        await process.wait()

    async with _listening(port) as received, _process(data, **webhooks):
        event = await asyncio.wait_for(received.get(), timeout=PATIENCE)

    assert event.type == "customer.created"
    assert event.data.object["id"] == made.id


async def test_webhooks_are_held_doubled_and_reordered_on_request(tmp_path: Path) -> None:
    port = free_port()
    async with (
        _listening(port) as received,
        server.running(
            listen="127.0.0.1:0",
            data=tmp_path / "e.sqlite",
            webhook_url=f"http://127.0.0.1:{port}/",
            webhook_secret=_SECRET,
        ) as url,
        looking_at(url) as side,
    ):
        for effect in ("hold", "reorder", "duplicate"):
            await side.spoil("webhooks", effect)
        made = [(await side.client.v1.customers.create_async({})).id for _ in range(2)]
        held = received.empty()
        await side.mend("hold")
        heard = [(await asyncio.wait_for(received.get(), timeout=PATIENCE)).data.object["id"] for _ in range(4)]

    assert held
    assert heard == [made[1], made[1], made[0], made[0]]


async def test_what_is_due_in_real_time_happens_by_itself_at_the_latest_after_a_restart(tmp_path: Path) -> None:
    def emulator() -> AbstractAsyncContextManager[str]:
        return server.running(listen="127.0.0.1:0", data=tmp_path / "e.sqlite", webhook_url="", webhook_secret="")

    two_months_ago = int(time.time()) - 63 * 24 * 60 * 60  # at the longest they have 62 days
    async with emulator() as url, looking_at(url) as side:
        payer = Payer(side.client)
        await payer.begin(two_months_ago)
        made = await payer.subscribe(await payer.price(2000))
        await side.ask(f"{url}/_emulator/customers/{payer.id}/test_clock", test_clock="")

    async with emulator() as url, looking_at(url) as side:
        payer = Payer(side.client, payer.id)
        invoices = await until(lambda: _all_three(payer))
        renewed = await payer.subscription(made)

    assert [(invoice.total, invoice.status) for invoice in invoices] == [(2000, "paid")] * 3
    assert item_of(renewed).current_period_end > time.time()


async def _all_three(payer: Payer) -> list[stripe.Invoice] | None:
    found = await payer.invoices()
    return found if len(found) == 3 else None


@asynccontextmanager
async def _listening(port: int) -> AsyncIterator["asyncio.Queue[stripe.Event]"]:
    received: asyncio.Queue[stripe.Event] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        payload, header = await request.read(), request.headers["Stripe-Signature"]
        received.put_nowait(stripe.Webhook.construct_event(payload, header, _SECRET))
        return web.Response()

    app = web.Application()
    app.router.add_post("/", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield received
    finally:
        await runner.cleanup()
