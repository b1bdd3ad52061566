"""The emulator as the official SDK sees it: Stripe's objects, Stripe's refusals, nothing ignored."""

from datetime import UTC, datetime

import pytest
import stripe

from billing_svc.emulator.clock import add_months
from tests.billing_svc.stripe_side import StripeSide, looking_at


async def _customer(side: StripeSide) -> str:
    return (await side.client.v1.customers.create_async({"metadata": {"user_id": "somebody"}})).id


async def _price(side: StripeSide, *, currency: str = "usd", amount: int = 2000) -> str:
    product = await side.client.v1.products.create_async({"name": "Pro"})
    price = await side.client.v1.prices.create_async(
        {
            "product": product.id,
            "unit_amount": amount,
            "currency": currency,
            "recurring": {"interval": "month"},
            "metadata": {"plan_id": "pro"},
        }
    )
    return price.id


async def _subscribe(side: StripeSide, customer: str, price: str) -> stripe.Subscription:
    card = await side.client.v1.payment_methods.attach_async("pm_card_visa", {"customer": customer})
    return await side.client.v1.subscriptions.create_async(
        {
            "customer": customer,
            "items": [{"price": price}],
            "default_payment_method": card.id,
            "payment_behavior": "error_if_incomplete",
            "metadata": {"subscription_id": "ours"},
        }
    )


async def test_a_subscription_is_paid_at_once_and_found_again(stripe_side: StripeSide) -> None:
    customer = await _customer(stripe_side)
    made = await _subscribe(stripe_side, customer, await _price(stripe_side))
    found = await stripe_side.client.v1.subscriptions.retrieve_async(made.id)
    invoice = await stripe_side.client.v1.invoices.retrieve_async(str(found.latest_invoice), {"expand": ["payments"]})

    assert found.to_dict() == made.to_dict()
    assert found.status == "active"
    assert found.metadata.to_dict() == {"subscription_id": "ours"}
    assert (invoice.status, invoice.total, invoice.amount_paid, invoice.amount_remaining) == ("paid", 2000, 2000, 0)
    assert invoice.payments
    assert [payment.status for payment in invoice.payments.data] == ["paid"]
    assert invoice.parent
    assert invoice.parent.subscription_details
    assert invoice.parent.subscription_details.subscription == made.id


async def test_payments_are_shown_only_to_those_who_expand_them(stripe_side: StripeSide) -> None:
    made = await _subscribe(stripe_side, await _customer(stripe_side), await _price(stripe_side))
    invoice = await stripe_side.client.v1.invoices.retrieve_async(str(made.latest_invoice))

    assert "payments" not in invoice.to_dict()


async def test_everything_that_happened_is_an_event(stripe_side: StripeSide) -> None:
    customer = await _customer(stripe_side)
    await _subscribe(stripe_side, customer, await _price(stripe_side))
    events = await stripe_side.events(customer)

    assert [event["type"] for event in events] == [
        "payment_method.attached",
        "invoice.created",
        "invoice.finalized",
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.created",
    ]
    again = await stripe_side.client.v1.events.retrieve_async(events[-1]["id"])
    assert again.data.object["customer"] == customer


async def test_pages_follow_one_another(stripe_side: StripeSide) -> None:
    customer = await _customer(stripe_side)
    price = await _price(stripe_side)
    made = [(await _subscribe(stripe_side, customer, price)).id for _ in range(5)]
    listed = await stripe_side.client.v1.subscriptions.list_async({"customer": customer, "limit": 2})

    assert [each.id async for each in listed.auto_paging_iter()] == made[::-1]


@pytest.mark.parametrize("card", ["pm_card_chargeDeclined", "pm_card_chargeDeclinedExpiredCard"])
async def test_a_card_that_is_declined_cannot_be_attached(stripe_side: StripeSide, card: str) -> None:
    with pytest.raises(stripe.CardError) as refused:
        await stripe_side.client.v1.payment_methods.attach_async(card, {"customer": await _customer(stripe_side)})

    assert refused.value.http_status == 402
    assert refused.value.code in ("card_declined", "expired_card")
    assert refused.value.error
    assert refused.value.error.decline_code


async def test_a_charge_that_is_declined_undoes_the_subscription(stripe_side: StripeSide) -> None:
    customer = await _customer(stripe_side)
    card = await stripe_side.client.v1.payment_methods.attach_async(
        "pm_card_chargeCustomerFail", {"customer": customer}
    )
    with pytest.raises(stripe.CardError):
        await stripe_side.client.v1.subscriptions.create_async(
            {
                "customer": customer,
                "items": [{"price": await _price(stripe_side)}],
                "default_payment_method": card.id,
                "payment_behavior": "error_if_incomplete",
            }
        )

    assert [event["type"] for event in await stripe_side.events(customer)] == ["payment_method.attached"]


async def test_a_customer_pays_in_one_currency(stripe_side: StripeSide) -> None:
    customer = await _customer(stripe_side)
    await _subscribe(stripe_side, customer, await _price(stripe_side))

    with pytest.raises(stripe.InvalidRequestError, match="combine currencies"):
        await _subscribe(stripe_side, customer, await _price(stripe_side, currency="eur"))


async def test_a_parameter_that_is_not_known_is_refused_and_changes_nothing(stripe_side: StripeSide) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await stripe_side.client.raw_request_async("post", "/v1/customers", metadata={"user_id": "x"}, colour="red")

    assert (refused.value.code, refused.value.param) == ("parameter_unknown", "colour")
    assert await stripe_side.customers("x") == []


async def test_what_is_missing_is_named(stripe_side: StripeSide) -> None:
    with pytest.raises(stripe.InvalidRequestError) as no_such:
        await stripe_side.client.v1.subscriptions.retrieve_async("sub_none")
    with pytest.raises(stripe.InvalidRequestError) as not_given:
        await stripe_side.client.raw_request_async("post", "/v1/products")
    with pytest.raises(stripe.InvalidRequestError) as no_route:
        await stripe_side.client.v1.coupons.list_async()

    assert (no_such.value.http_status, no_such.value.code) == (404, "resource_missing")
    assert (not_given.value.code, not_given.value.param) == ("parameter_missing", "name")
    assert no_route.value.http_status == 404


async def test_only_test_keys_are_taken(stripe_side: StripeSide) -> None:
    async with looking_at(stripe_side.url, key="sk_live_real") as other:
        with pytest.raises(stripe.AuthenticationError):
            await other.client.v1.customers.create_async({})


async def test_another_api_version_is_refused(stripe_side: StripeSide) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="API version"):
        await stripe_side.client.v1.customers.create_async({}, {"stripe_version": "2020-08-27"})


@pytest.mark.parametrize(
    ("start", "months", "end"),
    [
        ((2026, 1, 31), 1, (2026, 2, 28)),
        ((2028, 1, 31), 1, (2028, 2, 29)),
        ((2026, 1, 31), 2, (2026, 3, 31)),
        ((2026, 12, 15), 1, (2027, 1, 15)),
        ((2028, 2, 29), 12, (2029, 2, 28)),
    ],
)
def test_a_month_ends_on_the_day_it_began_or_the_months_last(
    start: tuple[int, int, int], months: int, end: tuple[int, int, int]
) -> None:
    begun = datetime(*start, 13, 30, tzinfo=UTC)

    assert datetime.fromtimestamp(add_months(int(begun.timestamp()), months), UTC) == datetime(*end, 13, 30, tzinfo=UTC)


async def test_a_subscription_that_is_cancelled_has_ended_and_cannot_be_cancelled_again(
    stripe_side: StripeSide,
) -> None:
    customer = await _customer(stripe_side)
    made = await _subscribe(stripe_side, customer, await _price(stripe_side))

    ended = await stripe_side.client.v1.subscriptions.cancel_async(made.id)
    with pytest.raises(stripe.InvalidRequestError) as again:
        await stripe_side.client.v1.subscriptions.cancel_async(made.id)

    assert (ended.status, ended.ended_at, ended.cancel_at_period_end) == ("canceled", ended.canceled_at, False)
    assert (again.value.http_status, again.value.code) == (404, "resource_missing")
    assert (await stripe_side.events(customer))[-1]["type"] == "customer.subscription.deleted"
