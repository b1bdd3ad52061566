"""Whoever answers the wire: always the emulator, and Stripe's test mode as well where there is a key for it."""

import os
from collections.abc import AsyncIterator

import pytest

from tests.billing_svc.contract.payer import Payer
from tests.billing_svc.stripe_side import StripeSide, looking_at

_KEY = "STRIPE_TEST_SECRET_KEY"


@pytest.fixture(scope="session", params=["emulator", "stripe"])
async def side(request: pytest.FixtureRequest, stripe_side: StripeSide) -> AsyncIterator[StripeSide]:
    if request.param == "emulator":
        yield stripe_side
        return
    key = os.environ.get(_KEY, "")
    if not key.startswith("sk_test_"):
        pytest.skip(f"{_KEY} is not set, so Stripe itself is not asked: only the emulator is")
    async with looking_at("https://api.stripe.com", key=key) as stripe:
        yield stripe


@pytest.fixture
def payer(side: StripeSide) -> Payer:
    return Payer(side.client)
