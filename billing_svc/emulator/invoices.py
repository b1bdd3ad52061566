"""Invoices, as they are read. How they come about is in `invoicing` and `collecting`."""

from billing_svc.emulator.call import Call
from billing_svc.emulator.objects import Json


def retrieve(call: Call) -> Json:
    return call.get("invoice", call.id)


def list_all(call: Call) -> Json:
    params = call.params
    where = {"customer": params.text("customer"), "status": params.text("status")}
    where["parent.subscription_details.subscription"] = params.text("subscription")
    return call.listed("invoice", where=where)
