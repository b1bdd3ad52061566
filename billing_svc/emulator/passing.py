"""Time passes: periods end, trials end, cards are tried again, patience runs out; each at its own moment, in order."""

from billing_svc.emulator import collecting, coupons, invoicing, schedules
from billing_svc.emulator.call import Call
from billing_svc.emulator.items import item_of, with_next_period
from billing_svc.emulator.objects import Json
from billing_svc.emulator.subscriptions import NOT_CANCELLED, card_of


def pass_time(call: Call, customer: str, *, until: int) -> None:
    """Let everything happen that is due to the customer until then."""
    while alarm := call.objects.next_alarm(customer, until=until):
        id_, due = alarm
        then = call.at(due)
        if (body := call.objects.find("subscription", id_)) is not None:
            _ring_subscription(then, body)
        else:
            _ring_invoice(then, call.get("invoice", id_))


def catch_up(call: Call) -> None:
    """Let everything happen that is due by now to those who are on no test clock."""
    now = call.clock.now()
    for customer in call.objects.customers_with_alarms(until=now):
        if not call.get("customer", customer)["test_clock"]:
            pass_time(call, customer, until=now)


def _ring_subscription(call: Call, subscription: Json) -> None:
    now, update = call.clock.now(), subscription["pending_update"]
    if update and update["expires_at"] <= now:
        collecting.void(call, subscription["latest_invoice"])
        call.put(subscription | {"pending_update": None}, "customer.subscription.updated")
    elif subscription["status"] == "incomplete":
        collecting.void(call, subscription["latest_invoice"])
        ended = {"status": "incomplete_expired", "ended_at": now}
        call.put(subscription | ended, "customer.subscription.updated")
    elif subscription["cancel_at_period_end"]:
        feedback = subscription.get("cancellation_details", NOT_CANCELLED)["feedback"]
        collecting.end(call, subscription, reason="cancellation_requested", feedback=feedback)
    else:
        _begin_period(call, subscription)


def _begin_period(call: Call, subscription: Json) -> None:
    """The next period, with an invoice that stays a draft for an hour, so that more can be put on it."""
    customer = call.get("customer", subscription["customer"])
    if subscription["status"] == "trialing":
        ends = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
        if ends != "create_invoice" and card_of(call, customer, subscription) is None:
            _end_trial_without_card(call, subscription, ends)
            return
        subscription = subscription | {"status": "active"}
    subscription = with_next_period(schedules.entered(call, subscription))
    discounts = coupons.of(call, subscription)
    charges = [invoicing.period_charge(call, item_of(subscription)), *invoicing.pending_charges(call, subscription)]
    charges = invoicing.discounted(call, charges, discounts)
    invoice = invoicing.drafted(call, customer, subscription, charges, reason="subscription_cycle")
    invoicing.take_items(call, charges, invoice)
    used = {"latest_invoice": invoice["id"], "discounts": coupons.after_use(call, discounts)}
    call.put(subscription | used, "customer.subscription.updated")
    call.put(invoice, "invoice.created")


def _end_trial_without_card(call: Call, subscription: Json, ends: str) -> None:
    if ends == "cancel":
        collecting.end(call, subscription, reason="payment_failed")
    else:
        call.put(subscription | {"status": "paused"}, "customer.subscription.paused")


def _ring_invoice(call: Call, invoice: Json) -> None:
    if invoice["status"] == "draft":
        invoice = collecting.finalized(call, invoice)
    customer = call.get("customer", invoice["customer"])
    subscription = call.get("subscription", invoice["parent"]["subscription_details"]["subscription"])
    collecting.try_again(call, invoice, subscription, card_of(call, customer, subscription))
