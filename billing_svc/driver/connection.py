"""The driver: everything that we ask of Stripe, over one pool of connections."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import stripe

from billing_svc.driver.cards import Cards
from billing_svc.driver.changes import Changes
from billing_svc.driver.customers import Customers
from billing_svc.driver.events import Events
from billing_svc.driver.invoices import Invoices
from billing_svc.driver.overages import Overages
from billing_svc.driver.payments import Payments
from billing_svc.driver.prices import Prices
from billing_svc.driver.subscriptions import Subscriptions
from svckit import http_calls

# The version that stripe-python 16.1 is typed for, whatever the account's default is.
_API_VERSION = "2026-10-28.endive"
_TIMEOUT = aiohttp.ClientTimeout(total=10, connect=3)
_RETRIES = 2


class Driver:
    """Stripe, as far as we use it. Its errors come out as errors for the caller; `Unsure` when the outcome is open."""

    def __init__(self, client: stripe.StripeClient, *, session: aiohttp.ClientSession, default_card: str = "") -> None:
        """`default_card`: charged when the caller names none; only against the emulator."""
        self.customers = Customers(client.v1)
        self.events = Events(client.v1)
        self.invoices = Invoices(client.v1, session=session)
        self.overages = Overages(client.v1)
        self.payments = Payments(client.v1)
        self.cards = Cards(client.v1, default_card=default_card)
        prices = Prices(client.v1)
        self.subscriptions = Subscriptions(client.v1, prices=prices, default_card=default_card)
        self.changes = Changes(client.v1, prices=prices)


@asynccontextmanager
async def connected(*, key: str, url: str, default_card: str = "") -> AsyncIterator[Driver]:
    """A driver for the Stripe at `url`, with a pool of connections that lives as long as the block."""
    # At INFO it says two lines a call, which hide ours.
    logging.getLogger("stripe").setLevel(logging.WARNING)
    async with aiohttp.ClientSession(timeout=_TIMEOUT, trace_configs=[http_calls.observed()]) as session:
        client = stripe.StripeClient(
            key,
            stripe_version=_API_VERSION,
            base_addresses={"api": url},
            http_client=stripe.AIOHTTPClient(session=session, timeout=_TIMEOUT),
            max_network_retries=_RETRIES,
        )
        yield Driver(client, session=session, default_card=default_card)
