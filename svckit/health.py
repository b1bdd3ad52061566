"""Whether this process takes calls: the service grpc.health.v1.

https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

import asyncio
from collections.abc import AsyncIterator, Sequence

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from svckit.rpc.call import Context

_LAME_DUCK = 0.25  # seconds; what is on its way needs milliseconds

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
        self._watchers = 0

    async def stop(self) -> None:
        """Say NOT_SERVING to everybody who watches, and give them time to send their next calls elsewhere.

        A server that closes while calls are still on their way to it resets them with a bare CANCELLED, which no
        client retries.
        """
        self._stopping.set()
        if self._watchers:
            await asyncio.sleep(_LAME_DUCK)

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:  # noqa: N802
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return _NOT_SERVING if self._stopping.is_set() else _SERVING

    async def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        self._watchers += 1
        try:
            yield _SERVING if request.service in self._services else _UNKNOWN
            await self._stopping.wait()
            yield _NOT_SERVING
        finally:
            self._watchers -= 1
