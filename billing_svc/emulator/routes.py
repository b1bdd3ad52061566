"""Which handler answers which request."""

from collections.abc import Callable

from billing_svc.emulator import (
    catalog,
    changes,
    confirming,
    coupons,
    customers,
    events,
    invoice_items,
    invoices,
    payment_intents,
    portal,
    refunds,
    schedules,
    setup_intents,
    subscriptions,
    test_clocks,
)
from billing_svc.emulator.call import Call
from billing_svc.emulator.objects import Json
from billing_svc.emulator.refusals import Refused

# A refusal that is returned, not raised, keeps what was done: a declined payment stays there as one.
Handler = Callable[[Call], Json | Refused]

ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("POST", "/v1/customers", customers.create),
    ("GET", "/v1/customers/{id}", customers.retrieve),
    ("POST", "/v1/customers/{id}", customers.update),
    ("POST", "/v1/payment_methods/{id}/attach", customers.attach_card),
    ("POST", "/v1/products", catalog.create_product),
    ("POST", "/v1/prices", catalog.create_price),
    ("GET", "/v1/prices", catalog.list_prices),
    ("POST", "/v1/subscriptions", subscriptions.create),
    ("GET", "/v1/subscriptions", subscriptions.list_all),
    ("GET", "/v1/subscriptions/{id}", subscriptions.retrieve),
    ("POST", "/v1/subscriptions/{id}", changes.update),
    ("DELETE", "/v1/subscriptions/{id}", subscriptions.cancel),
    ("POST", "/v1/subscriptions/{id}/resume", subscriptions.resume),
    ("POST", "/v1/subscription_schedules", schedules.create),
    ("GET", "/v1/subscription_schedules/{id}", schedules.retrieve),
    ("POST", "/v1/subscription_schedules/{id}", schedules.update),
    ("POST", "/v1/subscription_schedules/{id}/release", schedules.release),
    ("POST", "/v1/coupons", coupons.create),
    ("GET", "/v1/coupons/{id}", coupons.retrieve),
    ("DELETE", "/v1/coupons/{id}", coupons.delete),
    ("POST", "/v1/invoiceitems", invoice_items.create),
    ("GET", "/v1/invoiceitems", invoice_items.list_all),
    ("GET", "/v1/invoiceitems/{id}", invoice_items.retrieve),
    ("DELETE", "/v1/invoiceitems/{id}", invoice_items.delete),
    ("POST", "/v1/invoices/create_preview", changes.preview),
    ("POST", "/v1/invoices/{id}/void", changes.void_invoice),
    ("GET", "/v1/invoices", invoices.list_all),
    ("GET", "/v1/invoices/{id}", invoices.retrieve),
    ("GET", "/v1/invoices/{id}/lines", invoices.list_lines),
    ("POST", "/v1/payment_intents", payment_intents.create),
    ("GET", "/v1/payment_intents", payment_intents.list_all),
    ("GET", "/v1/payment_intents/{id}", payment_intents.retrieve),
    ("POST", "/v1/payment_intents/{id}/confirm", confirming.confirm),
    ("POST", "/v1/payment_intents/{id}/cancel", payment_intents.cancel),
    ("POST", "/v1/refunds", refunds.create),
    ("GET", "/v1/refunds", refunds.list_all),
    ("GET", "/v1/refunds/{id}", refunds.retrieve),
    ("POST", "/v1/setup_intents", setup_intents.create),
    ("GET", "/v1/setup_intents/{id}", setup_intents.retrieve),
    ("POST", "/v1/setup_intents/{id}/confirm", setup_intents.confirm),
    ("POST", "/v1/billing_portal/sessions", portal.create_session),
    ("GET", "/v1/customers/{id}/payment_methods", customers.list_cards),
    ("POST", "/v1/test_helpers/test_clocks", test_clocks.create),
    ("GET", "/v1/test_helpers/test_clocks", test_clocks.list_all),
    ("GET", "/v1/test_helpers/test_clocks/{id}", test_clocks.retrieve),
    ("POST", "/v1/test_helpers/test_clocks/{id}/advance", test_clocks.advance),
    ("POST", "/_emulator/customers/{id}/test_clock", test_clocks.join),
    ("GET", "/v1/events", events.list_all),
    ("GET", "/v1/events/{id}", events.retrieve),
)
