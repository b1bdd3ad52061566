"""Page tokens of lists that are ordered by id: the last id of a page, opaque to the caller."""

import base64
import binascii
from uuid import UUID

from svckit.errors import InvalidArgument

_DEFAULT_SIZE = 20


def size_of(page_size: int) -> int:
    """How many items a page may have; 0 asks for the default."""
    return page_size or _DEFAULT_SIZE


def token(last_id: str) -> str:
    """Goes on after that id."""
    return base64.urlsafe_b64encode(UUID(last_id).bytes).decode().rstrip("=")


def last_id(token: str) -> str:
    """The reverse of `token`; empty for the first page. Raises InvalidArgument."""
    if not token:
        return ""
    try:
        return str(UUID(bytes=base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)))
    except (binascii.Error, ValueError):
        message = "is not one that this list has given"
        raise InvalidArgument.of("page_token", message, reason="PAGE_TOKEN_INVALID") from None
