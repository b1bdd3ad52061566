"""Test clocks: the time of those customers who are on one, which moves only when somebody says so.

https://docs.stripe.com/billing/testing/test-clocks; what Stripe does in the background is done here before the answer.
"""

from billing_svc.emulator.call import Call
from billing_svc.emulator.objects import Json, new_id
from billing_svc.emulator.passing import pass_time
from billing_svc.emulator.refusals import Refused

KIND = "test_helpers.test_clock"
_LATEST = 2**33
_DAY = 24 * 60 * 60
# Of the longest period. Stripe allows two of the shortest.
_FARTHEST = 2 * 366 * _DAY


def create(call: Call) -> Json:
    params = call.params
    now = call.clock.now()
    clock = {
        "id": new_id("clock"),
        "object": KIND,
        "created": now,
        "deletes_after": now + 30 * _DAY,
        "frozen_time": params.integer("frozen_time", most=_LATEST),
        "livemode": False,
        "name": params.text("name") or None,
        "status": "ready",
        "status_details": {},
    }
    return call.put(clock, "test_helpers.test_clock.created")


def retrieve(call: Call) -> Json:
    return call.get(KIND, call.id)


def list_all(call: Call) -> Json:
    return call.listed(KIND, where={})


def advance(call: Call) -> Json:
    """Everything that is due to the clock's customers until then happens, in order."""
    clock = call.get(KIND, call.id)
    until = call.params.integer("frozen_time", most=_LATEST)
    if not clock["frozen_time"] < until <= clock["frozen_time"] + _FARTHEST:
        raise Refused("A test clock only goes forward, at most two years at once.", param="frozen_time")
    for customer in call.objects.newest("customer", where={"test_clock": clock["id"]}, limit=1000):
        pass_time(call, customer["id"], until=until)
    return call.put(clock | {"frozen_time": until}, "test_helpers.test_clock.ready")


def join(call: Call) -> Json:
    """Put a customer who is there already on a clock, or back into real time when none is named.

    Stripe does not offer that: there the product's own customers, whom it makes without a clock, cannot be moved.
    """
    customer = call.get("customer", call.id)
    id_ = call.params.text("test_clock")
    clock = call.get(KIND, id_, param="test_clock")["id"] if id_ else None
    for subscription in call.objects.newest("subscription", where={"customer": customer["id"]}, limit=100):
        call.put(subscription | {"test_clock": clock})
    return call.put(customer | {"test_clock": clock}, "customer.updated")
