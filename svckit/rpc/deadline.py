"""How long the call being served may take, and with it every call that it makes."""

import asyncio
import contextvars
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

from svckit.errors import DeadlineExceeded
from svckit.rpc.call import Call

# On the event loop's clock; None: no limit.
_expires: ContextVar[float | None] = ContextVar("expires", default=None)


def remaining() -> float | None:
    """Seconds that the call being served may still take; None if it has no limit, or if none is being served."""
    expires = _expires.get()
    return None if expires is None else expires - asyncio.get_running_loop().time()


def detached() -> contextvars.Context:
    """The current context without the deadline, for work that outlives its call.

    `asyncio.create_task(generate(), context=detached())` still logs and calls under the call's ids and identity.
    """
    context = contextvars.copy_context()
    context.run(_expires.set, None)
    return context


@asynccontextmanager
async def limited(call: Call) -> AsyncIterator[None]:
    """Hold the block to the client's deadline, which gRPC itself enforces by cancelling, else to the contract's."""
    allowed: float | None = call.context.time_remaining()
    if allowed is not None:
        _expires.set(asyncio.get_running_loop().time() + allowed)
        yield
        return
    timeout = asyncio.timeout(call.rpc.timeout)
    try:
        async with timeout:
            _expires.set(timeout.when())
            yield
    except TimeoutError:
        if not timeout.expired():
            raise
        raise DeadlineExceeded(f"not done within {call.rpc.timeout:g} s") from None
