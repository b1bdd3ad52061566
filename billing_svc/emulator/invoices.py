"""Invoices, as they are read. How they come about is in `invoicing` and `collecting`."""

from billing_svc.emulator.call import Call
from billing_svc.emulator.objects import Json


def retrieve(call: Call) -> Json:
    return _linked(call, call.get("invoice", call.id))


def list_all(call: Call) -> Json:
    params = call.params
    where = {"customer": params.text("customer"), "status": params.text("status")}
    where["parent.subscription_details.subscription"] = params.text("subscription")
    page = call.listed("invoice", where=where)
    return page | {"data": [_linked(call, invoice) for invoice in page["data"]]}


def list_lines(call: Call) -> Json:
    """All of them at once, whatever `limit` says: an invoice has few."""
    call.params.integer("limit", 10, least=1, most=100)
    lines: Json = call.get("invoice", call.id)["lines"]
    return lines


def _linked(call: Call, invoice: Json) -> Json:
    """With where its pages are, which depends on who asks; a draft has none."""
    if invoice["status"] == "draft":
        return invoice
    page = f"{call.origin}/_emulator/invoices/{invoice['id']}"
    return invoice | {"hosted_invoice_url": page, "invoice_pdf": f"{page}/pdf"}
