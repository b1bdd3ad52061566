"""What a text in a request must not hold."""

import re

from google.protobuf.message import Message

from svckit.errors import InvalidArgument

# As people write them: groups of digits with spaces or hyphens between. None begins as times in milliseconds do.
_MAYBE_CARD = re.compile(r"(?<!\d)[2-9](?:[ -]?\d){12,18}(?!\d)")
# What many keys are made of; one in some hundreds of them has the digits of a card.
_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)


def refuse_nul(request: Message, *fields: str) -> None:
    """Raise InvalidArgument for the first of the fields that holds a NUL character: PostgreSQL keeps none."""
    for field in fields:
        if "\0" in getattr(request, field):
            raise InvalidArgument.of(field, "must not contain NUL characters")


def refuse_card_numbers(request: Message, *fields: str) -> None:
    """Raise InvalidArgument for the first of the fields that holds a card's number: none is ever kept or passed on."""
    for field in fields:
        text = _UUID.sub("", getattr(request, field))
        if any(_is_card(found) for found in _MAYBE_CARD.findall(text)):
            raise InvalidArgument.of(field, "must not contain a card's number", reason="CARD_NUMBER_REFUSED")


def _is_card(text: str) -> bool:
    """Whether the check digit fits (Luhn, ISO/IEC 7812-1)."""
    digits = [int(digit) for digit in text if digit.isdigit()][::-1]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
