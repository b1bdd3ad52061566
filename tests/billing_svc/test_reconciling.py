"""What was not heard is found and repaired, and then there is nothing more to find."""

from collections.abc import Awaitable, Callable

from svckit import postgres
from svckit.errors import Aborted, NotFound
from svckit.ids import new_id
from tests.billing_svc.administrator import Administrator
from tests.billing_svc.conftest import Billing, Start
from tests.billing_svc.stripe_side import StripeSide
from tests.callers import refusal


async def _miss_a_refund_and_an_end(billing: Billing, stripe_side: StripeSide) -> str:
    """Somebody's refund, payment and cancellation that were made at Stripe, and of which no webhook told us."""
    customer = billing.customer()
    await customer.subscribe("pro")
    (theirs,) = await stripe_side.customers(customer.id)
    (payment,) = await stripe_side.payments(customer.id)
    stripe = stripe_side.client.v1
    await stripe.refunds.create_async({"payment_intent": payment.id, "amount": 500})
    await stripe.payment_intents.create_async(
        {"customer": theirs, "amount": 900, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    )
    (subscription,) = await stripe_side.subscriptions(customer.id)
    await stripe.subscriptions.cancel_async(subscription.id)
    return customer.id


async def test_the_second_run_finds_nothing(
    start: Start, new_database: Callable[[], Awaitable[str]], stripe_side: StripeSide
) -> None:
    async with start(database_url=await new_database()) as billing:
        user_id = await _miss_a_refund_and_an_end(billing, stripe_side)
        untouched = billing.customer()
        await untouched.subscribe("team")
        administrator = billing.administrator()
        first = await administrator.reconcile(recent_only=True)
        recent = await administrator.reconcile(recent_only=True)
        everything = await administrator.reconcile()
        one = await administrator.reconcile(user_id=user_id)
        async with postgres.connected(str(billing.settings.database_url)) as database, database.dedicated() as other:
            assert await postgres.try_hold(other, "billing:reconcile")
            running = await refusal(administrator.reconcile())

    assert (first.repaired, len(first.repairs)) == (4, 4)
    differences = {each.kind: each.difference for each in first.repairs if each.difference != "missing"}
    assert "status: active → canceled" in differences["subscription"]
    assert differences["payment"] == "refunded_minor: 0.00 USD → 5.00 USD"
    assert sorted(each.kind for each in first.repairs if each.difference == "missing") == ["payment", "refund"]
    assert {each.user_id for each in first.repairs} == {user_id}
    assert (recent.repaired, everything.repaired, one.repaired) == (0, 0, 0)
    assert first.compared == recent.compared == everything.compared == one.compared + 3
    assert isinstance(running, Aborted)
    assert running.reason == "RECONCILIATION_RUNNING"


async def test_somebody_who_is_no_customer_cannot_be_compared(administrator: Administrator) -> None:
    assert isinstance(await refusal(administrator.reconcile(user_id=new_id())), NotFound)
