"""One instance at a time makes the tables: a lease in JetStream's key-value store, renewed for as long as it is held.

Nobody's clock is compared with another's: a lease has run out when whoever waits for it sees it unchanged for a while.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from nats.js import JetStreamContext
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from analytics_svc import position

_KEY = "migration"
_LOOK_SECONDS = 0.2
_RENEW_SECONDS = 1
# A holder that is slow, and not gone, must not lose it.
_QUIET_SECONDS = 8

log = structlog.get_logger(__name__)


@asynccontextmanager
async def held(jetstream: JetStreamContext, *, quiet: float = _QUIET_SECONDS) -> AsyncIterator[None]:
    """Hold the lease; wait while another instance does, until it is silent for `quiet` seconds.

    Whoever cannot renew it any more ends with the error, and what is done under it is cancelled.
    """
    store = await position.made_bucket(jetstream)
    revision = await _taken(store, quiet)
    async with asyncio.TaskGroup() as group:
        renewing = group.create_task(_renewed(store, revision))
        yield
        renewing.cancel()
    await store.delete(_KEY)


async def _taken(store: KeyValue, quiet: float) -> int:
    """The number of the version by which we hold it."""
    seen, since = 0, time.monotonic()
    while True:
        try:
            if seen and time.monotonic() > since + quiet:
                log.warning("taking over from an instance that is gone")
                return await store.update(_KEY, b"", last=seen)
            return await store.create(_KEY, b"")
        except KeyWrongLastSequenceError:
            found = await _revision(store)
        if found != seen:
            seen, since = found, time.monotonic()
        await asyncio.sleep(_LOOK_SECONDS)


async def _revision(store: KeyValue) -> int:
    try:
        return (await store.get(_KEY)).revision or 0
    except KeyNotFoundError:
        return 0


async def _renewed(store: KeyValue, revision: int) -> None:
    while True:
        await asyncio.sleep(_RENEW_SECONDS)
        revision = await store.update(_KEY, b"", last=revision)
