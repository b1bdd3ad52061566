"""Subscription schedules: the price that follows at the end of the period, until it is taken back or entered."""

from billing_svc.emulator import coupons
from billing_svc.emulator.call import Call
from billing_svc.emulator.clock import period_end
from billing_svc.emulator.items import item_of, with_item
from billing_svc.emulator.objects import Json, new_id
from billing_svc.emulator.params import Params
from billing_svc.emulator.refusals import Refused


def create(call: Call) -> Json:
    """From a subscription: its running period is the first phase."""
    id_ = call.params.required("from_subscription")
    subscription = call.get("subscription", id_, param="from_subscription")
    if subscription["schedule"]:
        message = "You cannot migrate a subscription that is already attached to a schedule."
        raise Refused(message, param="from_subscription")
    item = item_of(subscription)
    call = call.on_clock_of(call.get("customer", subscription["customer"]))
    phase = _phase(item["price"]["id"], item["current_period_start"], item["current_period_end"])
    phase["discounts"] = [_discount(discount=each) for each in subscription["discounts"]]
    schedule = {
        "id": new_id("sub_sched"),
        "object": "subscription_schedule",
        "canceled_at": None,
        "completed_at": None,
        "created": call.clock.now(),
        "current_phase": {"start_date": phase["start_date"], "end_date": phase["end_date"]},
        "customer": subscription["customer"],
        "end_behavior": "release",
        "livemode": False,
        "metadata": call.params.metadata(),
        "phases": [phase],
        "released_at": None,
        "released_subscription": None,
        "status": "active",
        "subscription": id_,
        "test_clock": subscription["test_clock"],
    }
    call.put(subscription | {"schedule": schedule["id"]}, "customer.subscription.updated")
    return call.put(schedule, "subscription_schedule.created")


def retrieve(call: Call) -> Json:
    return call.get("subscription_schedule", call.id)


def update(call: Call) -> Json:
    """The first phase that is named is the running one; the second, of one period, begins where it ends.

    A phase has the discounts that it names and no others, as at Stripe: those of a coupon are made when it begins.
    """
    schedule = _active(call)
    call.params.choice("end_behavior", ("release",), "release")
    call.params.choice("proration_behavior", ("none",), "none")
    match call.params.children("phases"):
        case [first, second]:
            subscription = call.get("subscription", schedule["subscription"])
            phases = _phases(call, schedule, subscription, first, second)
            call.put(subscription | {"discounts": _begun(call, subscription, phases[-2])})
        case _:
            raise Refused("The emulator knows schedules of exactly two phases.", param="phases")
    metadata = schedule["metadata"] | call.params.metadata()
    return call.put(schedule | {"phases": phases, "metadata": metadata}, "subscription_schedule.updated")


def release(call: Call) -> Json:
    """Let the subscription go on as it is."""
    schedule = _active(call)
    subscription = call.get("subscription", schedule["subscription"])
    call.put(subscription | {"schedule": None}, "customer.subscription.updated")
    return _released(call, schedule)


def entered(call: Call, subscription: Json) -> Json:
    """The subscription at the end of its period, in the phase that follows, or let go when there is none."""
    if not subscription["schedule"]:
        return subscription
    schedule = call.get("subscription_schedule", subscription["schedule"])
    phase = schedule["phases"][-1]
    if phase["start_date"] == schedule["current_phase"]["start_date"]:
        _released(call, schedule)
        return subscription | {"schedule": None}
    now = {"start_date": phase["start_date"], "end_date": phase["end_date"]}
    call.put(schedule | {"current_phase": now}, "subscription_schedule.updated")
    price = call.get("price", phase["items"][0]["price"])
    changed = {"billing_cycle_anchor": _anchor(subscription, price), "discounts": _begun(call, subscription, phase)}
    return with_item(subscription | changed, price=price)


def _anchor(subscription: Json, price: Json) -> int:
    """Of the periods that follow the running one: another interval begins anew."""
    item = item_of(subscription)
    same = price["recurring"]["interval"] == item["price"]["recurring"]["interval"]
    anchor: int = subscription["billing_cycle_anchor"] if same else item["current_period_end"]
    return anchor


def _active(call: Call) -> Json:
    schedule = call.get("subscription_schedule", call.id)
    if schedule["status"] != "active":
        raise Refused(f"You cannot change a subscription schedule that is {schedule['status']}.", param="id")
    return schedule


def _released(call: Call, schedule: Json) -> Json:
    ended = {"status": "released", "released_at": call.clock.now(), "current_phase": None}
    moved = {"released_subscription": schedule["subscription"], "subscription": None}
    return call.put(schedule | ended | moved, "subscription_schedule.released")


def _phases(call: Call, schedule: Json, subscription: Json, first: Params, second: Params) -> list[Json]:
    """Those that are over stay."""
    current = schedule["current_phase"]["start_date"]
    over = [phase for phase in schedule["phases"] if phase["start_date"] < current]
    running = schedule["phases"][len(over)]
    start = first.integer("start_date", most=2**40)
    end = first.integer("end_date", most=2**40)
    if (start, end) != (running["start_date"], running["end_date"]):
        raise Refused("The first phase must be the running one.", param="phases[0][start_date]")
    running_price = _price(call, first)
    duration = second.child("duration")
    interval = duration.choice("interval", ("month", "year"), "")
    duration.integer("interval_count", 1, least=1, most=1)
    price = _price(call, second)
    if price["recurring"]["interval"] != interval:
        raise Refused("The emulator knows phases of one period only.", param="phases[1][duration]")
    following = _phase(price["id"], end, period_end(_anchor(subscription, price), interval, after=end))
    return [
        *over,
        running | {"discounts": _discounts(call, first, running_price, place=0)},
        following | {"discounts": _discounts(call, second, price, place=1)},
    ]


def _discounts(call: Call, phase: Params, price: Json, *, place: int) -> list[Json]:
    """What the phase asks for: discounts that are there, or coupons that new ones come of."""
    found: list[Json] = []
    for number, asked in enumerate(phase.children("discounts")):
        param = f"phases[{place}][discounts][{number}]"
        if coupon := asked.text("coupon"):
            found.append(
                _discount(coupon=coupons.usable(call, coupon, price["currency"], param=f"{param}[coupon]")["id"])
            )
        else:
            id_ = asked.required("discount")
            found.append(_discount(discount=call.get("discount", id_, param=f"{param}[discount]")["id"]))
    return found


def _discount(*, coupon: str | None = None, discount: str | None = None) -> Json:
    return {"coupon": coupon, "discount": discount, "promotion_code": None}


def _begun(call: Call, subscription: Json, phase: Json) -> list[str]:
    """Ids of the subscription's discounts in a phase that begins; of a coupon that was deleted meanwhile too."""
    customer = call.get("customer", subscription["customer"])
    return [
        each["discount"] or coupons.redeem(call, call.get("coupon", each["coupon"]), customer, subscription["id"])["id"]
        for each in phase["discounts"]
    ]


def _price(call: Call, phase: Params) -> Json:
    match phase.children("items"):
        case [item]:
            return call.get("price", item.required("price"), param="phases[items][price]")
        case _:
            raise Refused("The emulator knows phases of exactly one item.", param="phases[items]")


def _phase(price: str, start: int, end: int) -> Json:
    return {
        "start_date": start,
        "end_date": end,
        "items": [{"price": price, "quantity": 1, "metadata": {}}],
        "discounts": [],
        "metadata": {},
        "proration_behavior": "none",
    }
