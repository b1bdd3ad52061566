"""Sessions of the customer portal: links to the page where customers look after their cards and invoices."""

from billing_svc.emulator.call import Call
from billing_svc.emulator.objects import Json, new_id


def create_session(call: Call) -> Json:
    params = call.params
    customer = call.get("customer", params.required("customer"), param="customer")
    id_ = new_id("bps")
    session = {
        "id": id_,
        "object": "billing_portal.session",
        "created": call.clock.now(),
        "customer": customer["id"],
        "livemode": False,
        "return_url": params.text("return_url") or None,
        "url": f"{call.origin}/_emulator/portal/{id_}",
    }
    return call.put(session)
