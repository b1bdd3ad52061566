"""Pages for people, in the place of Stripe's own: to prove who owns a card, to look at invoices, to keep cards.

Each is reached by a link that holds an id or a secret which nobody can guess, as at Stripe.
"""

import hmac
from collections.abc import Callable
from html import escape

from aiohttp import web

from billing_svc.emulator import confirming, customers
from billing_svc.emulator.call import Call
from billing_svc.emulator.cards import CARDS
from billing_svc.emulator.objects import Json
from billing_svc.emulator.pdf import invoice_pdf
from billing_svc.emulator.refusals import Refused
from billing_svc.money import Money

_YES_OR_NO = "<button name=proven value=yes>Yes</button> <button name=proven value=no>No</button>"

# What a page does: a call of the emulated API, which answers with HTML.
Act = Callable[[Call], web.Response]
# Does it in a transaction, as the API runs its handlers.
Run = Callable[[web.Request, Act], web.Response]


class Pages:
    """The pages."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get("/_emulator/authenticate/{id}", self._ask_owner)
        router.add_post("/_emulator/authenticate/{id}", self._hear_owner)
        router.add_get("/_emulator/invoices/{id}", self._show_invoice)
        router.add_get("/_emulator/invoices/{id}/pdf", self._print_invoice)
        router.add_get("/_emulator/portal/{id}", self._show_portal)
        router.add_post("/_emulator/portal/{id}", self._keep_card)

    async def _ask_owner(self, request: web.Request) -> web.Response:
        def show(call: Call) -> web.Response:
            intent = _with_secret(call, request)
            amount = _money(intent["amount"], intent["currency"])
            return _page("Is it you who pays?", f"<p>{amount}</p><form method=post>{_YES_OR_NO}</form>")

        return self._run(request, show)

    async def _hear_owner(self, request: web.Request) -> web.Response:
        proven = (await request.post()).get("proven") == "yes"

        def hear(call: Call) -> web.Response:
            _with_secret(call, request)
            intent = confirming.authenticate(call, proven=proven)
            return _page("Thank you", f"<p>The payment is now: {escape(intent['status'])}.</p>")

        return self._run(request, hear)

    async def _show_invoice(self, request: web.Request) -> web.Response:
        return self._run(request, lambda call: _invoice_page(_final(call)))

    async def _print_invoice(self, request: web.Request) -> web.Response:
        return self._run(
            request, lambda call: web.Response(body=invoice_pdf(_final(call)), content_type="application/pdf")
        )

    async def _show_portal(self, request: web.Request) -> web.Response:
        return self._run(request, lambda call: _portal_page(call, call.get("billing_portal.session", call.id)))

    async def _keep_card(self, request: web.Request) -> web.Response:
        card = str((await request.post()).get("card", ""))

        def keep(call: Call) -> web.Response:
            session = call.get("billing_portal.session", call.id)
            customers.attach(call, card, session["customer"])
            return web.Response(status=303, headers={"Location": request.path})

        return self._run(request, keep)


def _with_secret(call: Call, request: web.Request) -> Json:
    """The payment, for whoever has its client secret."""
    intent = call.get("payment_intent", call.id)
    if not hmac.compare_digest(request.query.get("client_secret", "").encode(), intent["client_secret"].encode()):
        raise Refused("The client_secret is not that of the PaymentIntent.", status=401)
    return intent


def _final(call: Call) -> Json:
    invoice = call.get("invoice", call.id)
    if invoice["status"] == "draft":
        raise Refused("The invoice is still a draft.", status=404)
    return invoice


def _invoice_page(invoice: Json) -> web.Response:
    lines = "".join(
        f"<tr><td>{escape(line['description'] or '')}<td>{_money(line['amount'], invoice['currency'])}"
        for line in invoice["lines"]["data"]
    )
    total = f"<tr><th>Total<th>{_money(invoice['total'], invoice['currency'])}"
    link = f'<p><a href="/_emulator/invoices/{invoice["id"]}/pdf">As a PDF</a>'
    title = f"Invoice {invoice['number']}: {invoice['status']}"
    return _page(title, f"<table>{lines}{total}</table>{link}")


def _portal_page(call: Call, session: Json) -> web.Response:
    mine = {"customer": session["customer"]}
    cards = "".join(
        f"<li>{escape(card['card']['brand'])} that ends in {escape(card['card']['last4'])}"
        for card in call.objects.newest("payment_method", where=mine, limit=100)
    )
    invoices = "".join(
        f'<li><a href="/_emulator/invoices/{invoice["id"]}">{escape(invoice["number"] or "draft")}</a>, '
        f"{_money(invoice['total'], invoice['currency'])}: {escape(invoice['status'])}"
        for invoice in call.objects.newest("invoice", where=mine, limit=100)
    )
    choices = "".join(f"<option>{name}</option>" for name in CARDS)
    form = f"<form method=post><select name=card>{choices}</select> <button>Keep this card</button></form>"
    back = f'<p><a href="{escape(session["return_url"])}">Back</a>' if session["return_url"] else ""
    return _page("Your billing", f"<h2>Cards</h2><ul>{cards}</ul>{form}<h2>Invoices</h2><ul>{invoices}</ul>{back}")


def _page(title: str, body: str) -> web.Response:
    text = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>"
        f"<h1>{escape(title)}</h1><p><strong>Stripe emulator: no real money.</strong></p>{body}"
    )
    headers = {"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'; form-action 'self'"}
    return web.Response(text=text, content_type="text/html", headers=headers)


def _money(minor: int, currency: str) -> str:
    return escape(str(Money(minor, currency)))
