"""Keys whose first request is still at work: until it is answered, nobody else's request with the key is."""

from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from billing_svc.emulator.refusals import Refused


def key_in_use() -> Refused:
    """Stripe's refusal; not kept, so that the same request may come again (https://docs.stripe.com/error-low-level)."""
    message = "There is currently another in-progress request using this Idempotent Key."
    return Refused(message, status=409, type_="idempotency_error", code="idempotency_key_in_use")


class InFlight:
    """The requests at work, by their keys."""

    def __init__(self) -> None:
        self._requests: dict[str, web.Request] = {}

    @contextmanager
    def alone(self, request: web.Request, key: str) -> Iterator[None]:
        """Work on the request inside the block. Raises Refused while another one with its key has a caller waiting."""
        before = self._requests.get(key)
        # What a fault still holds for a caller who has given up keeps nobody else out.
        if key and before is not None and before.transport is not None:
            raise key_in_use()
        self._requests[key] = request
        try:
            yield
        finally:
            if self._requests.get(key) is request:
                del self._requests[key]
