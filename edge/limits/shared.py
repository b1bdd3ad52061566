"""The limits as all edges count them together: one script in Redis, many checks a round trip."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError

from edge.limits.rates import PERIOD, Check, Standing
from svckit import db_calls, redis_client

# GCRA: the key holds until when the client's requests so far have used up its time, in microseconds of Redis's own
# clock, so that edges need not agree on theirs. Answers the wait (0: let in) and the debt. One key: any node can do it.
_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, period, take = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
local used = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
used = math.min(used, now + period) -- the clock was set back, or the limit was made stricter
local after = used + interval
local wait = after - now - period
if wait > 0 then return {math.ceil(wait), math.ceil(used - now)} end
if not take then return {0, math.ceil(used - now)} end
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000))
return {0, math.ceil(after - now)}
"""
_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()  # how Redis names a script
_PATIENCE = 0.5  # seconds for a round trip, a connection included

_Waiting = tuple[Check, "asyncio.Future[Standing]"]


@asynccontextmanager
async def connected(url: str) -> AsyncIterator["SharedCounter"]:
    """Count in the Redis at a URL, which need not be there yet.

    The connection does not try again by itself, and has no time-outs of its own, which would cost as much as the rest:
    one is set around all that a batch of checks takes.
    """
    pool = ConnectionPool.from_url(
        url, socket_timeout=None, socket_connect_timeout=None, retry=Retry(NoBackoff(), retries=0)
    )
    connection = pool.make_connection()  # type: ignore[no-untyped-call]
    try:
        yield SharedCounter(connection)
    finally:
        await connection.disconnect()


class SharedCounter:
    """Asks Redis. What comes while an answer is awaited goes together with the next question.

    So one connection is enough, and none need be taken from a pool, which would cost as much as the question.
    """

    def __init__(self, connection: AbstractConnection) -> None:
        """`connection` is nobody else's; it connects when there is something to ask, again too."""
        self._connection = connection
        self._waiting: list[_Waiting] = []
        self._asking: asyncio.Task[None] | None = None

    async def check(self, check: Check) -> Standing:
        """Count a request; raises RedisError or OSError (a time-out is one) when Redis does not answer at once."""
        future: asyncio.Future[Standing] = asyncio.get_running_loop().create_future()
        self._waiting.append((check, future))
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_all())
        with db_calls.observed(redis_client.SYSTEM, "EVALSHA"):
            return await future

    async def _ask_all(self) -> None:
        batch: list[_Waiting] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                _answer(batch, await self._ask([check for check, _ in batch]))
        except (RedisError, OSError) as error:
            for _, future in (*batch, *self._waiting):  # those that wait need not find out for themselves
                if not future.done():
                    future.set_exception(error)
        finally:
            for _, future in (*batch, *self._waiting):
                future.cancel()  # whatever else went wrong, nobody waits for ever
            self._waiting, self._asking = [], None

    async def _ask(self, checks: Sequence[Check]) -> list[Any]:
        """One answer a check."""
        try:
            async with asyncio.timeout(_PATIENCE):
                try:
                    answers = await self._answers(checks)
                except RedisConnectionError:
                    # Redis, or what stands before it, ends connections on which nothing is asked for long.
                    answers = await self._answers(checks)
        except BaseException:
            # What is still on its way must not be taken for the answer to the next question.
            await self._connection.disconnect(nowait=True)
            raise
        for answer in answers:
            if isinstance(answer, RedisError):
                raise answer
        return answers

    async def _answers(self, checks: Sequence[Check]) -> list[Any]:
        """One answer a check; Redis is sent the script where it does not know it, as after a restart."""
        answers = await self._sent(checks, "EVALSHA", _SHA)
        unknown = [n for n, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            again = await self._sent([checks[n] for n in unknown], "EVAL", _SCRIPT)
            for n, answer in zip(unknown, again, strict=True):
                answers[n] = answer
        return answers

    async def _sent(self, checks: Sequence[Check], command: str, script: str) -> list[Any]:
        """One answer a check, which may be an error."""
        commands = [(command, script, 1, check.key, check.rate.interval, PERIOD, int(check.take)) for check in checks]
        await self._connection.send_packed_command(self._connection.pack_commands(commands), check_health=False)
        return [await self._received() for _ in checks]

    async def _received(self) -> Any:
        try:
            return await self._connection.read_response()
        except ResponseError as error:
            return error


def _answer(batch: Sequence[_Waiting], answers: Sequence[Any]) -> None:
    for (check, future), (wait, debt) in zip(batch, answers, strict=True):
        if not future.done():  # its request may have gone away
            future.set_result(Standing(check.rate, wait, debt))
