"""Server-sent events of providers: all that have come are read in one go, and of each only its data.

A token is an event. The SDKs' readers make several objects of each and take it through several generators, which costs
more than all else that is done for a token here.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from chat_svc.providers import Part, ProviderError
from chat_svc.providers.refusals import took_too_long

if TYPE_CHECKING:
    import httpx2

_OVER = b"[DONE]"  # OpenAI's last event, and that of many others
_LONGEST = 4 << 20  # bytes of one event; what is longer is no model's
# What comes of events that are no JSON, or of another shape or size.
_UNREADABLE = (ArithmeticError, LookupError, ValueError, TypeError, AttributeError)
_DRAINING = 0.1  # seconds for the end of a response behind the end of its answer


class EventReader:
    """Reads one stream.

    https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, received: bytes) -> Iterator[bytes]:
        """The data of each event that is whole by now. Raises ValueError for one that does not end."""
        lines = (self._rest + received).splitlines(keepends=True)
        # A line that ends with CR waits as well: the LF that belongs to it may follow.
        self._rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        for line in lines:
            line = line.rstrip(b"\r\n")
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif not line and self._data:
                data, self._data = self._data, []
                yield b"\n".join(data)
        if len(self._rest) + sum(map(len, self._data)) > _LONGEST:
            raise ValueError(f"an event of more than {_LONGEST} bytes")


async def parts(
    response: "httpx2.Response", read: Callable[[bytes], Iterable[Part]]
) -> AsyncGenerator[Sequence[Part], None]:
    """What `read` makes of the data of each event, as many at a time as have come; ends the stream when OpenAI does.

    What came before an error is given before it is raised. Raises ProviderError.
    """
    reader, over = EventReader(), False
    async with aclosing(_received(response)) as received:
        async for some in received:
            found: list[Part] = []
            failed: ProviderError | None = None
            try:
                for data in reader.feed(some):
                    if over := data.startswith(_OVER):
                        break
                    found += read(data)
            except ProviderError as error:
                failed = error
            except _UNREADABLE as error:
                failed = ProviderError("upstream_malformed", repr(error))
            if found:
                yield found
            if failed:
                raise failed
            if over:
                await _drain(received)
                return


async def _received(response: "httpx2.Response") -> AsyncGenerator[bytes, None]:
    """The bytes as they come. Raises ProviderError."""
    import httpx2

    try:
        async for some in response.aiter_bytes():
            yield some
    except httpx2.TransportError as error:
        late = isinstance(error, httpx2.TimeoutException) and took_too_long(error)
        raise ProviderError("upstream_timeout" if late else "upstream_unavailable", repr(error)) from error


async def _drain(received: AsyncIterator[bytes]) -> None:
    """Read the rest, so that the connection can be used again; it comes with the end or not at all."""
    with suppress(TimeoutError, ProviderError):
        async with asyncio.timeout(_DRAINING):
            async for _ in received:
                pass
