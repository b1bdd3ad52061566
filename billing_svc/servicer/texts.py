"""What a text in a request must not hold."""

from google.protobuf.message import Message

from svckit.errors import InvalidArgument


def refuse_nul(request: Message, *fields: str) -> None:
    """Raise InvalidArgument for the first of the fields that holds a NUL character: PostgreSQL keeps none."""
    for field in fields:
        if "\0" in getattr(request, field):
            raise InvalidArgument.of(field, "must not contain NUL characters")
