"""An invoice as a file to print."""

from datetime import UTC, datetime

from fpdf import FPDF
from fpdf.enums import XPos, YPos

from billing_svc.emulator.objects import Json
from billing_svc.money import Money

_AMOUNT_WIDTH = 40
_LINE_HEIGHT = 8


def invoice_pdf(invoice: Json) -> bytes:
    """One A4 page, or more when there are many lines."""
    page = FPDF(format="A4")
    page.set_title(f"Invoice {invoice['number']}")
    page.set_creation_date(datetime.fromtimestamp(invoice["created"], UTC))
    page.add_page()
    _heading(page, invoice)
    for line in invoice["lines"]["data"]:
        _row(page, f"{line['description']}\n{_span(line['period'])}", line["amount"], invoice["currency"])
    page.set_font(style="B")
    for name, amount in (
        ("Subtotal", invoice["subtotal"]),
        ("Total", invoice["total"]),
        ("Amount paid", invoice["amount_paid"]),
        ("Amount due", invoice["amount_remaining"]),
    ):
        _row(page, name, amount, invoice["currency"])
    return bytes(page.output())


def _heading(page: FPDF, invoice: Json) -> None:
    page.set_font("Helvetica", "B", 20)
    _line(page, f"Invoice {invoice['number']}", 12)
    page.set_font("Helvetica", "", 11)
    _line(page, f"Of {_day(invoice['created'])}, for customer {invoice['customer']}: {invoice['status']}")
    page.set_text_color(170, 0, 0)
    _line(page, "From the Stripe emulator: no real money, and no real invoice.")
    page.set_text_color(0)
    page.ln(_LINE_HEIGHT)


def _line(page: FPDF, text: str, height: int = _LINE_HEIGHT) -> None:
    page.cell(0, height, _printable(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _row(page: FPDF, text: str, amount: int, currency: str) -> None:
    """A text that may take several lines, and beside its last one the amount."""
    page.multi_cell(page.epw - _AMOUNT_WIDTH, 6, _printable(text), align="L", new_x=XPos.RIGHT, new_y=YPos.LAST)
    page.cell(_AMOUNT_WIDTH, 6, str(Money(amount, currency)), align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    page.ln(2)


def _span(period: Json) -> str:
    return f"{_day(period['start'])} to {_day(period['end'])}"


def _day(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")


def _printable(text: str) -> str:
    """What the fonts that every reader has can show: Latin-1."""
    return text.encode("latin-1", "replace").decode("latin-1")
