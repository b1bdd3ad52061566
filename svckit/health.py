"""Whether this process takes calls: the service grpc.health.v1.

https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import timedelta

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from svckit.rpc.call import Context

_SERVING = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
_NOT_SERVING = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.NOT_SERVING)
_UNKNOWN = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)


class Health(health_pb2_grpc.HealthServicer):
    """One answer for all services of the process: serving, until it begins to stop.

    Not the package's own servicer, because that keeps watchers open for ever, and a graceful stop would wait for them.
    """

    def __init__(self, services: Sequence[str]) -> None:
        self._services = frozenset(["", *services])
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self._watchers = 0
        self._unwatched = asyncio.Event()
        self._unwatched.set()

    async def stop(self, *, lame_duck: timedelta) -> None:
        """Say NOT_SERVING to everybody who watches, and give them that long to send their next calls elsewhere.

        A server that closes while calls are still on their way to it resets them with a bare CANCELLED, which no
        client retries.
        """
        self._stopping.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(lame_duck.total_seconds()):
                await self._unwatched.wait()
        self._stopped.set()

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return _NOT_SERVING if self._stopping.is_set() else _SERVING

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        self._watchers += 1
        self._unwatched.clear()
        try:
            yield _SERVING if request.service in self._services else _UNKNOWN
            await self._stopping.wait()
            yield _NOT_SERVING
            await self._stopped.wait()
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._unwatched.set()
