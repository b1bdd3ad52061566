"""Appending events to the streams of generations: all that are told at the same time go to Redis in one call."""

import asyncio
from dataclasses import dataclass, field
from enum import IntEnum

from redis.asyncio import Redis

# In one call: Redis does nothing else meanwhile, for about a millisecond.
_MOST = 100

# For each event of the call one number: see Written. What is wrong with one stream is not the others' fault.
_SCRIPT = """
local function append(key, id, event)
  local there = redis.call('XRANGE', key, id, id)
  if there[1] then return there[1][2][2] == event and 1 or 0 end
  redis.call('XADD', key, id, 'event', event)
  redis.call('EXPIRE', key, ARGV[1])
  redis.call('PUBLISH', key, event)
  return 1
end
local written = {}
for i, key in ipairs(KEYS) do
  local ok, found = pcall(append, key, ARGV[2 * i], ARGV[2 * i + 1])
  written[i] = ok and found or -1
end
return written
"""


class Written(IntEnum):
    """What has become of an event."""

    FAILED = -1
    SUPERSEDED = 0  # another event has its place
    THERE = 1  # now or since an earlier try


@dataclass(slots=True)
class _Batch:
    keys: list[str] = field(default_factory=list)
    args: list[str | bytes | int] = field(default_factory=list)
    writing: asyncio.Task[list[int]] | None = None


class Appends:
    """Writes events as they come. What comes while a call is under way waits for the next one."""

    def __init__(self, redis: Redis, *, kept_seconds: int) -> None:
        """A stream is kept for so long after its last event."""
        self._script = redis.register_script(_SCRIPT)
        self._kept_seconds = kept_seconds
        self._one_at_a_time = asyncio.Lock()
        self._batch = _Batch()

    async def append(self, key: str, entry_id: str, event: bytes) -> Written:
        """Write the event, whose id is greater than those before it; again is the same as once. Raises RedisError."""
        if len(self._batch.keys) == _MOST:
            self._batch = _Batch()
        batch, place = self._batch, len(self._batch.keys)
        batch.keys.append(key)
        batch.args += (entry_id, event)
        if batch.writing is None:
            # In the trace of the first event; the others of the batch are written with it.
            batch.writing = asyncio.create_task(self._write(batch))
        return Written((await asyncio.shield(batch.writing))[place])

    async def _write(self, batch: _Batch) -> list[int]:
        async with self._one_at_a_time:
            if batch is self._batch:
                self._batch = _Batch()
            written: list[int] = await self._script(keys=batch.keys, args=[self._kept_seconds, *batch.args])
            return written
