"""Idempotency keys as Stripe has them: a request with a known key is answered as it was the first time."""

import asyncio

import pytest
import stripe

from svckit.ids import new_id
from tests.billing_svc.stripe_side import StripeSide
from tests.waiting import until


async def test_a_key_makes_one_thing_however_often_it_comes(stripe_side: StripeSide) -> None:
    key, user = new_id(), new_id()
    made = await asyncio.gather(
        *(
            stripe_side.client.v1.customers.create_async({"metadata": {"user_id": user}}, {"idempotency_key": key})
            for _ in range(5)
        )
    )

    assert len({customer.id for customer in made}) == 1
    assert await stripe_side.customers(user) == [made[0].id]


async def test_a_replay_says_that_it_is_one(stripe_side: StripeSide) -> None:
    options: stripe.RequestOptions = {"idempotency_key": new_id()}
    first = await stripe_side.client.v1.customers.create_async({}, options)
    again = await stripe_side.client.v1.customers.create_async({}, options)

    assert first.last_response
    assert again.last_response
    assert "Idempotent-Replayed" not in first.last_response.headers
    assert again.last_response.headers["Idempotent-Replayed"] == "true"


async def test_a_key_with_other_parameters_is_an_error(stripe_side: StripeSide) -> None:
    options: stripe.RequestOptions = {"idempotency_key": new_id()}
    await stripe_side.client.v1.customers.create_async({"name": "Ada"}, options)

    with pytest.raises(stripe.IdempotencyError) as refused:
        await stripe_side.client.v1.customers.create_async({"name": "Bob"}, options)

    assert refused.value.http_status == 400


async def test_a_key_whose_first_request_is_at_work_is_refused_until_that_is_answered_or_given_up(
    stripe_side: StripeSide,
) -> None:
    options: stripe.RequestOptions = {"idempotency_key": new_id()}
    user = new_id()

    async def make(*, retries: int) -> stripe.Customer:
        asked: stripe.RequestOptions = {**options, "max_network_retries": retries}
        return await stripe_side.client.v1.customers.create_async({"metadata": {"user_id": user}}, asked)

    async def held() -> bool:
        return not await stripe_side.faults()

    await stripe_side.spoil("/v1/customers", "hold")
    first = asyncio.create_task(make(retries=0))
    await until(held)
    with pytest.raises(stripe.APIError) as refused:
        await make(retries=0)
    first.cancel()
    made = await make(retries=5)

    assert refused.value.error
    assert (refused.value.http_status, refused.value.error.code) == (409, "idempotency_key_in_use")
    assert await stripe_side.customers(user) == [made.id]


async def test_a_decline_is_replayed_too(stripe_side: StripeSide) -> None:
    options: stripe.RequestOptions = {"idempotency_key": new_id()}
    customer = await stripe_side.client.v1.customers.create_async({})
    for _ in range(2):
        with pytest.raises(stripe.CardError) as refused:
            await stripe_side.client.v1.payment_methods.attach_async(
                "pm_card_chargeDeclined", {"customer": customer.id}, options
            )

    assert refused.value.headers
    assert refused.value.headers["Idempotent-Replayed"] == "true"


async def test_what_failed_its_checks_is_not_kept(stripe_side: StripeSide) -> None:
    options: stripe.RequestOptions = {"idempotency_key": new_id()}
    with pytest.raises(stripe.InvalidRequestError):
        await stripe_side.client.v1.payment_methods.attach_async("pm_card_visa", {"customer": "cus_none"}, options)
    customer = await stripe_side.client.v1.customers.create_async({})

    attached = await stripe_side.client.v1.payment_methods.attach_async(
        "pm_card_visa", {"customer": customer.id}, options
    )

    assert attached.customer == customer.id
