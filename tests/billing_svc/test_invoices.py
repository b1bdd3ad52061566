"""Invoices: with their lines, as a file, and only for whom they are."""

from chatmesh.billing.v1 import billing_pb2 as pb

from svckit.errors import NotFound
from svckit.ids import new_id
from tests.billing_svc.conftest import Billing
from tests.billing_svc.customer import Customer
from tests.billing_svc.stripe_side import StripeSide
from tests.callers import refusal


async def _get(customer: Customer, invoice_id: str) -> pb.Invoice:
    request = pb.GetInvoiceRequest(invoice_id=invoice_id)
    return (await customer.stub.GetInvoice(request, metadata=customer.metadata)).invoice


async def _pdf(customer: Customer, invoice_id: str) -> pb.GetInvoicePdfResponse:
    return await customer.stub.GetInvoicePdf(pb.GetInvoicePdfRequest(invoice_id=invoice_id), metadata=customer.metadata)


async def test_an_invoice_says_what_was_paid_for_on_a_page_and_in_a_file(
    customer: Customer, stripe_side: StripeSide
) -> None:
    subscription = await customer.subscribe("pro")
    (listed,) = (await customer.invoices()).invoices
    invoice = await _get(customer, listed.id)
    (line,) = invoice.lines
    file = (await _pdf(customer, listed.id)).body
    async with stripe_side.session.get(invoice.hosted_url) as response:
        page = await response.text()

    assert (line.amount, line.proration) == (subscription.amount, False)
    assert line.period_end_time == subscription.current_period_end_time
    invoice.ClearField("lines")
    assert invoice == listed
    assert (file.content_type, file.data[:5], file.data.rstrip()[-5:]) == ("application/pdf", b"%PDF-", b"%%EOF")
    assert invoice.number in page
    assert "20.00 USD" in page
    assert "no real money" in page


async def test_an_invoice_is_nobody_elses_business(billing: Billing, customer: Customer) -> None:
    await customer.subscribe("pro")
    (invoice,) = (await customer.invoices()).invoices
    stranger = billing.customer()

    for refused in (_get(stranger, invoice.id), _pdf(stranger, invoice.id), _get(customer, new_id())):
        assert isinstance(await refusal(refused), NotFound)
