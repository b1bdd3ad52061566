"""Page tokens of lists that are ordered by time, then by id: the last place of a page, opaque to the caller."""

import base64
import binascii
from datetime import datetime

from svckit.errors import InvalidArgument


def token_of(moment: datetime, id: str) -> str:
    """Goes on after that place."""
    return base64.urlsafe_b64encode(f"{moment.isoformat()} {id}".encode()).decode().rstrip("=")


def place_of(token: str) -> tuple[datetime, str] | None:
    """The reverse of `token_of`; None for the first page. Raises InvalidArgument."""
    if not token:
        return None
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
        moment, _, id_ = text.partition(" ")
        found = datetime.fromisoformat(moment)
    except (binascii.Error, ValueError):
        found, id_ = None, ""
    if found is None or found.tzinfo is None or "\0" in id_:
        message = "is not one that this list has given"
        raise InvalidArgument.of("page_token", message, reason="PAGE_TOKEN_INVALID")
    return found, id_
