"""What the service refuses to start with, and what it takes for granted."""

import asyncio
import os
import sys

import pytest
from pydantic import ValidationError

from billing_svc.settings import BillingSettings


def _settings(**given: str) -> BillingSettings:
    return BillingSettings.model_validate({"stripe_secret_key": None, "stripe_api_base": None} | given)


async def _refusals(**variables: str) -> set[str]:
    """The variables that the process complains about when it is started with these."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("STRIPE_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "billing_svc",
        env=others | variables,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, problems = await process.communicate()
    assert process.returncode == 2
    return {line.partition(":")[0] for line in problems.decode().splitlines()}


def test_without_a_key_the_emulator_stands_in() -> None:
    settings = _settings()

    assert settings.emulated
    assert not settings.live
    assert settings.stripe_key.startswith("sk_test_")
    assert settings.stripe_url == "http://127.0.0.1:12111"


def test_with_a_key_it_is_stripe_itself() -> None:
    settings = _settings(stripe_secret_key="sk_test_of_ours")

    assert not settings.emulated
    assert not settings.live
    assert settings.stripe_url == "https://api.stripe.com"


def test_a_live_key_at_stripe_is_live() -> None:
    settings = _settings(stripe_secret_key="sk_live_key")

    assert settings.live
    assert not settings.emulated


@pytest.mark.parametrize("key", ["sk_live_key", "rk_live_key"])
@pytest.mark.parametrize("url", ["http://127.0.0.1:12111", "https://api.stripe.com.example"])
def test_a_live_key_goes_nowhere_but_to_stripe(key: str, url: str) -> None:
    with pytest.raises(ValidationError, match="live key must not be sent anywhere but to Stripe"):
        _settings(stripe_secret_key=key, stripe_api_base=url)


def test_two_webhook_secrets_stand_side_by_side() -> None:
    assert _settings(stripe_webhook_secret="whsec_old, whsec_new").webhook_secrets == ("whsec_old", "whsec_new")


async def test_production_without_a_key_and_a_live_key_for_the_emulator_do_not_start_and_say_what_is_wrong() -> None:
    no_key, elsewhere = await asyncio.gather(
        _refusals(CHATMESH_ENV="production"),
        _refusals(STRIPE_SECRET_KEY="sk_live_key", STRIPE_API_BASE="http://127.0.0.1:12111"),
    )

    assert {"STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "DATABASE_URL", "SERVICE_SECRET"} <= no_key
    assert elsewhere == {"STRIPE_SECRET_KEY"}
