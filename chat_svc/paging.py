"""Page tokens: where the next page of a list begins, opaque to the caller."""

import base64
import binascii
import json
from datetime import UTC, datetime
from uuid import UUID

from svckit.errors import InvalidArgument

_DEFAULT_SIZE = 20
# PostgreSQL's integer, and it must bear to have one added.
_DEEPEST = 2**31 - 1
_BEST = 2**63 - 1


def size_of(page_size: int) -> int:
    """How many items a page may have; 0 asks for the default."""
    return page_size or _DEFAULT_SIZE


def last_used_token(updated_at: datetime, conversation_id: str) -> str:
    """Goes on after that conversation, in a list of conversations that is ordered by last use."""
    return _encode(updated_at.isoformat(), conversation_id)


def last_used(token: str) -> tuple[datetime, str]:
    """The reverse of `last_used_token`; raises InvalidArgument."""
    time, conversation_id = _decode(token)
    try:
        return datetime.fromisoformat(str(time)).astimezone(UTC), str(UUID(str(conversation_id)))
    except (ValueError, OverflowError):
        raise _wrong() from None


def branch_token(leaf_id: str, depth: int) -> str:
    """Goes on after that depth of the branch that ends in `leaf_id`, whatever the active branch is by then."""
    return _encode(leaf_id, depth)


def branch(token: str) -> tuple[str, int]:
    """The reverse of `branch_token`; raises InvalidArgument."""
    leaf_id, depth = _decode(token)
    return _id(leaf_id), _number(depth, below=_DEEPEST)


def match_token(rank: int, conversation_id: str) -> str:
    """Goes on after that conversation, in a list of conversations that is ordered by how well they match."""
    return _encode(conversation_id, rank)


def match(token: str) -> tuple[int, str]:
    """The reverse of `match_token`; raises InvalidArgument."""
    conversation_id, rank = _decode(token)
    return _number(rank, below=_BEST), _id(conversation_id)


def _id(part: object) -> str:
    try:
        return str(UUID(str(part)))
    except ValueError:
        raise _wrong() from None


def _number(part: object, *, below: int) -> int:
    if not isinstance(part, int) or not 0 <= part < below:
        raise _wrong()
    return part


def _encode(*parts: str | int) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts, separators=(",", ":")).encode()).decode().rstrip("=")


def _decode(token: str) -> tuple[object, object]:
    try:
        parts = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        first, second = parts
    except (binascii.Error, ValueError, TypeError, RecursionError):
        raise _wrong() from None
    return first, second


def _wrong() -> InvalidArgument:
    return InvalidArgument.of("page_token", "is not one that this list has given", reason="PAGE_TOKEN_INVALID")
