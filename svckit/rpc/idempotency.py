"""The key that makes a repeat harmless, where a caller sent it beside the request: REST clients do so in a header."""

from typing import TypeVar

from google.protobuf.message import Message

from svckit.errors import InvalidArgument
from svckit.rpc.call import Call

_KEY = "idempotency-key"
_FIELD = "idempotency_key"

M = TypeVar("M", bound=Message)


def with_key(request: M, call: Call) -> M:
    """The request, whose field `idempotency_key`, if it has one, holds the key of the call's metadata.

    Raises `InvalidArgument` where both are given and differ: nobody could say which of them counts.
    """
    key = call.metadata.get(_KEY, "")
    if key and _FIELD in request.DESCRIPTOR.fields_by_name:
        if getattr(request, _FIELD) not in ("", key):
            raise InvalidArgument.of(_FIELD, "must be the key of the Idempotency-Key header, if there is one")
        setattr(request, _FIELD, key)
    return request
