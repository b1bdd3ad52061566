"""Paying once: however often it is asked, whatever the bank says."""

import asyncio

import grpc
import pytest
from chatmesh.billing.v1 import billing_pb2 as pb

from svckit.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from svckit.ids import new_id
from svckit.rpc.status import received
from tests.billing_svc.administrator import Administrator
from tests.billing_svc.conftest import Billing
from tests.billing_svc.customer import Customer
from tests.billing_svc.stripe_side import StripeSide
from tests.callers import refusal
from tests.waiting import until


async def test_a_payment_is_charged_once_however_often_it_is_asked_for(
    billing: Billing, customer: Customer, stripe_side: StripeSide
) -> None:
    made = await customer.pay(1500, key="once", description="A book")
    again = await customer.pay(1500, key="once", description="A book")
    other = await refusal(customer.pay(1501, key="once", description="A book"))
    somebody_else = await billing.customer().pay(1501, key="once")

    assert (made.status, made.amount.amount_minor, made.amount.currency) == (pb.PAYMENT_STATUS_SUCCEEDED, 1500, "usd")
    assert again == made == await customer.payment(made.id)
    assert isinstance(other, InvalidArgument)
    assert (other.reason, other.violations[0].field) == ("IDEMPOTENCY_KEY_REUSED", "idempotency_key")
    assert somebody_else.id != made.id
    assert [each.amount for each in await stripe_side.payments(customer.id)] == [1500]


async def test_of_many_equal_requests_at_once_one_is_worked_on(customer: Customer, stripe_side: StripeSide) -> None:
    asked = await asyncio.gather(*(customer.pay(key="once") for _ in range(10)), return_exceptions=True)
    made = {each.id for each in asked if isinstance(each, pb.Payment)}
    refused = [received(each) for each in asked if isinstance(each, grpc.aio.AioRpcError)]

    assert len(made) == 1
    assert {(type(each), each.reason) for each in refused} <= {(Aborted, "IDEMPOTENCY_IN_PROGRESS")}
    assert len(await stripe_side.payments(customer.id)) == 1


async def test_a_request_that_is_being_worked_on_is_not_begun_again(
    customer: Customer, stripe_side: StripeSide
) -> None:
    await stripe_side.spoil("/v1/payment_intents", "hold")
    first = asyncio.create_task(customer.pay(key="once"))

    async def held() -> bool:
        return "/v1/payment_intents" not in await stripe_side.faults()

    await until(held)
    second = await refusal(customer.pay(key="once"))
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)

    assert isinstance(second, Aborted)
    assert second.reason == "IDEMPOTENCY_IN_PROGRESS"


async def test_the_first_answer_is_given_again_although_the_owner_has_acted_since(
    customer: Customer, stripe_side: StripeSide
) -> None:
    card = "pm_card_authenticationRequired"
    asked = await customer.pay(key="once", payment_method=card)
    still = await customer.confirm(asked.id)
    await stripe_side.authenticate(customer.id)
    confirmed = await customer.confirm(asked.id)
    again = await customer.pay(key="once", payment_method=card)

    assert asked.status == still.status == pb.PAYMENT_STATUS_REQUIRES_ACTION
    assert asked.client_secret.startswith("pi_")
    assert (confirmed.status, confirmed.client_secret) == (pb.PAYMENT_STATUS_SUCCEEDED, "")
    assert again == asked
    assert await customer.payment(asked.id) == confirmed


async def test_an_owner_who_does_not_prove_it_has_not_paid(customer: Customer, stripe_side: StripeSide) -> None:
    asked = await customer.pay(payment_method="pm_card_authenticationRequired")
    await stripe_side.authenticate(customer.id, proven=False)
    confirmed = await customer.confirm(asked.id)

    assert (confirmed.status, confirmed.decline_code) == (
        pb.PAYMENT_STATUS_FAILED,
        "payment_intent_authentication_failure",
    )


@pytest.mark.parametrize(
    ("card", "code"),
    [
        ("pm_card_chargeDeclined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card"),
        ("pm_card_chargeCustomerFail", "generic_decline"),
    ],
)
async def test_a_decline_is_said_with_the_banks_code_and_kept(
    customer: Customer, stripe_side: StripeSide, card: str, code: str
) -> None:
    first = await refusal(customer.pay(key="once", payment_method=card))
    again = await refusal(customer.pay(key="once", payment_method=card))
    (kept,) = (await customer.payments()).payments

    for declined in (first, again):
        assert isinstance(declined, FailedPrecondition)
        assert (declined.reason, declined.metadata) == ("CARD_DECLINED", {"decline_code": code})
    assert first.message == again.message
    assert (kept.status, kept.decline_code) == (pb.PAYMENT_STATUS_FAILED, code)
    assert len(await stripe_side.payments(customer.id)) == 1


async def test_what_cannot_be_charged_is_refused_and_named_and_the_key_is_free_again(customer: Customer) -> None:
    unknown_card = await refusal(customer.pay(key="once", payment_method="pm_of_nobody"))
    nothing = await refusal(customer.pay(0))
    negative = await refusal(customer.pay(-5))
    no_currency = await refusal(customer.pay(currency="dollars"))
    nul = await refusal(customer.pay(description="a\0b"))
    no_key = await refusal(
        customer.stub.CreatePayment(
            pb.CreatePaymentRequest(amount=pb.Money(amount_minor=1, currency="usd")), metadata=customer.metadata
        )
    )
    afterwards = await customer.pay(key="once")

    assert (unknown_card.reason, unknown_card.violations[0].field) == ("PAYMENT_METHOD_INVALID", "payment_method")
    assert [each.violations[0].field for each in (nothing, negative, no_currency)] == ["amount"] * 3
    assert nul.violations[0].field == "description"
    assert (no_key.reason, no_key.violations[0].field) == ("IDEMPOTENCY_KEY_REQUIRED", "idempotency_key")
    assert afterwards.status == pb.PAYMENT_STATUS_SUCCEEDED
    assert len((await customer.payments()).payments) == 1


async def test_yen_have_no_decimals_and_dinars_three_of_which_the_last_is_zero(
    customer: Customer, administrator: Administrator, stripe_side: StripeSide
) -> None:
    await customer.pay(3000, currency="jpy")
    dinars = await customer.pay(1500, currency="kwd")
    refused = [
        await refusal(customer.pay(1505, currency="kwd")),
        await refusal(customer.pay(1500, currency="kwt")),
    ]
    not_back = await refusal(administrator.refund(dinars.id, 755))

    assert {(each.reason, each.violations[0].field) for each in refused} == {("AMOUNT_INVALID", "amount")}
    assert not_back.reason == "REFUND_REFUSED"
    assert (await customer.payment(dinars.id)).refunded.amount_minor == 0
    assert [(each.amount, each.currency) for each in await stripe_side.payments(customer.id)] == [
        (3000, "jpy"),
        (1500, "kwd"),
    ]


async def test_payments_are_listed_page_by_page_and_are_nobody_elses_business(
    billing: Billing, customer: Customer
) -> None:
    made = [(await customer.pay(100 + number)).id for number in range(3)]
    first = await customer.payments(page_size=2)
    last = await customer.payments(page_size=2, page_token=first.next_page_token)
    stranger = billing.customer()

    assert [each.id for each in (*first.payments, *last.payments)] == made[::-1]
    assert last.next_page_token == ""
    assert not (await stranger.payments()).payments
    assert isinstance(await refusal(stranger.payment(made[0])), NotFound)
    assert isinstance(await refusal(stranger.confirm(made[0])), NotFound)


async def test_an_invoices_payment_is_one_too(customer: Customer) -> None:
    subscription = await customer.subscribe("pro")
    (invoice,) = (await customer.invoices()).invoices
    (payment,) = (await customer.payments()).payments

    assert invoice.subscription_id == subscription.id
    assert (payment.invoice_id, payment.amount, payment.status) == (
        invoice.id,
        invoice.total,
        pb.PAYMENT_STATUS_SUCCEEDED,
    )


# --- refunds


async def test_a_payment_is_given_back_in_parts_but_never_more_than_was_paid(
    customer: Customer, administrator: Administrator, stripe_side: StripeSide
) -> None:
    paid = await customer.pay(1500)
    first = await administrator.refund(paid.id, 600, reason="It came late", idempotency_key="once")
    again = await administrator.refund(paid.id, 600, reason="It came late", idempotency_key="once")
    other = await refusal(administrator.refund(paid.id, 700, reason="It came late", idempotency_key="once"))
    too_much = await refusal(administrator.refund(paid.id, 901))
    rest = await administrator.refund(paid.id, reason="requested_by_customer")
    nothing_left = await refusal(administrator.refund(paid.id))

    assert (first.payment.refunded.amount_minor, first.payment.status) == (600, pb.PAYMENT_STATUS_SUCCEEDED)
    assert (first.refund.amount.amount_minor, first.refund.reason) == (600, "It came late")
    assert again == first
    assert other.reason == "IDEMPOTENCY_KEY_REUSED"
    assert isinstance(too_much, FailedPrecondition)
    assert (too_much.reason, too_much.metadata["left_minor"]) == ("REFUND_TOO_LARGE", "900")
    assert too_much.violations[0].field == "amount_minor"
    assert (rest.payment.refunded.amount_minor, rest.payment.status) == (1500, pb.PAYMENT_STATUS_REFUNDED)
    assert rest.refund.status == pb.REFUND_STATUS_SUCCEEDED
    assert nothing_left.reason == "REFUND_TOO_LARGE"
    assert [each.amount for each in await stripe_side.refunds(customer.id)] == [900, 600]
    assert await customer.payment(paid.id) == rest.payment


async def test_refunds_at_once_never_exceed_the_payment_together(
    customer: Customer, administrator: Administrator, stripe_side: StripeSide
) -> None:
    paid = await customer.pay(1000)
    asked = await asyncio.gather(*(administrator.refund(paid.id, 300) for _ in range(8)), return_exceptions=True)
    refused = [received(each) for each in asked if isinstance(each, grpc.aio.AioRpcError)]

    assert len(refused) == 5
    assert {each.reason for each in refused} == {"REFUND_TOO_LARGE"}
    assert [each.amount for each in await stripe_side.refunds(customer.id)] == [300, 300, 300]
    assert (await customer.payment(paid.id)).refunded.amount_minor == 900


async def test_only_what_was_paid_can_be_given_back_and_only_by_administrators(
    customer: Customer, administrator: Administrator
) -> None:
    await refusal(customer.pay(payment_method="pm_card_chargeDeclined"))
    (unpaid,) = (await customer.payments()).payments
    as_customer = customer.stub.RefundPayment(pb.RefundPaymentRequest(payment_id=unpaid.id), metadata=customer.metadata)

    assert (await refusal(administrator.refund(unpaid.id))).reason == "PAYMENT_NOT_PAID"
    assert isinstance(await refusal(administrator.refund(new_id())), NotFound)
    assert isinstance(await refusal(as_customer), PermissionDenied)


async def test_what_stripe_refuses_to_give_back_is_free_again(
    customer: Customer, administrator: Administrator, stripe_side: StripeSide
) -> None:
    """Somebody gave it back by hand at Stripe, and we have not heard of it."""
    paid = await customer.pay(1000)
    intent = (await stripe_side.payments(customer.id))[0]
    await stripe_side.client.v1.refunds.create_async({"payment_intent": intent.id, "amount": 800})
    refused = await refusal(administrator.refund(paid.id, 500, idempotency_key="once"))
    again = await refusal(administrator.refund(paid.id, 500, idempotency_key="once"))
    rest = await administrator.refund(paid.id, 200)

    assert isinstance(refused, FailedPrecondition)
    assert (refused.reason, again.reason, again.message) == ("REFUND_REFUSED", "REFUND_REFUSED", refused.message)
    assert (rest.payment.refunded.amount_minor, rest.payment.status) == (1000, pb.PAYMENT_STATUS_REFUNDED)


# --- cards and the portal


async def test_a_card_that_was_kept_is_charged_when_none_is_named(
    billing: Billing, customer: Customer, stripe_side: StripeSide
) -> None:
    answer = await customer.stub.CreatePaymentMethod(pb.CreatePaymentMethodRequest(), metadata=customer.metadata)
    setup, _, _ = answer.client_secret.partition("_secret_")
    kept = await stripe_side.client.v1.setup_intents.confirm_async(setup, {"payment_method": "pm_card_amex"})
    await customer.pay()
    (paid,) = await stripe_side.payments(customer.id)

    assert paid.payment_method == kept.payment_method


async def test_the_portal_leads_to_a_page_of_the_customers_own(customer: Customer, stripe_side: StripeSide) -> None:
    await customer.subscribe("pro")
    (invoice,) = (await customer.invoices()).invoices

    async def portal(return_url: str) -> str:
        request = pb.CreatePortalSessionRequest(return_url=return_url)
        return (await customer.stub.CreatePortalSession(request, metadata=customer.metadata)).url

    url = await portal("https://chat.example/settings")
    async with stripe_side.session.post(url, data={"card": "pm_card_mastercard"}) as kept:
        page = await kept.text()
    script = await refusal(portal("javascript://alert(1)"))

    assert "https://chat.example/settings" in page
    assert invoice.number in page
    assert "mastercard that ends in 4444" in page
    assert script.violations[0].field == "return_url"
