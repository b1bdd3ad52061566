"""The seam towards the services: bytes in, bytes out, whatever carries them."""

from collections.abc import AsyncIterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

Metadata = Sequence[tuple[str, str | bytes]]


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a unary RPC."""

    body: bytes
    initial_metadata: Metadata = ()
    trailing_metadata: Metadata = ()


class ReplyStream(Protocol):
    """The answers to an RPC that streams them, read in batches so that one socket read becomes one write."""

    @property
    def initial_metadata(self) -> Metadata:
        """What the service sent ahead; known once `read` has returned."""

    async def read(self) -> Sequence[bytes]:
        """The messages that have arrived, at least one; none at the end.

        Raises UpstreamError, and what the requests raised.
        """


class Upstream(Protocol):
    """Calls RPCs by their path (`/package.Service/Method`).

    Cancelling the task that waits cancels the RPC. `timeout` is in seconds; None sets no deadline.

    A stream of requests is read only as fast as the service takes them, and not to its end if the RPC ends before.
    What it raises cancels the RPC, and is raised where the answer is waited for; closing it is its owner's part.
    """

    async def unary(self, method: str, request: bytes, *, metadata: Metadata, timeout: float | None) -> Reply:
        """Call a unary RPC; raises UpstreamError."""

    def stream(
        self, method: str, request: bytes, *, metadata: Metadata, timeout: float | None
    ) -> AbstractAsyncContextManager[ReplyStream]:
        """Call a server-streaming RPC, which ends (cancelled if need be) with the context."""

    async def client_stream(
        self, method: str, requests: AsyncIterable[bytes], *, metadata: Metadata, timeout: float | None
    ) -> Reply:
        """Call a client-streaming RPC; raises UpstreamError."""

    def bidi_stream(
        self, method: str, requests: AsyncIterable[bytes], *, metadata: Metadata, timeout: float | None
    ) -> AbstractAsyncContextManager[ReplyStream]:
        """Call a bidirectional RPC, which ends (cancelled if need be) with the context."""


class UpstreamError(Exception):
    """The RPC ended with another status than OK.

    `code` is a number of google.rpc.Code, `details` a serialized google.rpc.Status (or nothing), `metadata` what
    the service sent with the error.
    """

    def __init__(self, code: int, message: str, details: bytes = b"", metadata: Metadata = ()) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.details = details
        self.metadata = metadata
