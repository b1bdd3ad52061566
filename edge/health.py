"""The state of the services behind the edge, asked over gRPC's own health protocol."""

import asyncio
import time
from collections.abc import Mapping
from typing import TypedDict

import grpc
from grpc_health.v1 import health_pb2

_TIMEOUT_SECONDS = 2.0


class ServiceState(TypedDict):
    """One service as `/health` shows it: `up`, `down` (does not answer) or `not_serving` (answers, and says so)."""

    status: str
    latencyMs: float


async def states(channels: Mapping[str, grpc.aio.Channel]) -> dict[str, ServiceState]:
    """Ask every service at once; none makes the answer take longer than two seconds."""
    found = await asyncio.gather(*(_state(channel) for channel in channels.values()))
    return dict(zip(channels, found, strict=True))


async def _state(channel: grpc.aio.Channel) -> ServiceState:
    began = time.perf_counter()
    try:
        answer = await _check(channel)(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_SECONDS)
        status = "up" if answer.status == health_pb2.HealthCheckResponse.SERVING else "not_serving"
    except grpc.aio.AioRpcError:
        status = "down"
    return {"status": status, "latencyMs": round((time.perf_counter() - began) * 1000, 2)}


def _check(
    channel: grpc.aio.Channel,
) -> grpc.aio.UnaryUnaryMultiCallable[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]:
    return channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
