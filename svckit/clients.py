"""Channels to the other services: spread over replicas, retried where that is safe, never longer than our own call."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeAlias

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from svckit import identity, rpc, telemetry
from svckit.identity import ServiceCredential
from svckit.renewed_channel import RenewedChannel
from svckit.rpc.client_calls import ClientCall
from svckit.tls import Tls

Details: TypeAlias = grpc.aio.ClientCallDetails
Continue: TypeAlias = Callable[[Details, Any], Awaitable[Any]]

_ANSWER_MARGIN = 0.05  # seconds that our own answer needs after a call of ours has failed
_REPEATABLE = {MethodOptions.NO_SIDE_EFFECTS, MethodOptions.IDEMPOTENT}

_OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.dns_min_time_between_resolutions_ms", 10_000),
    # A replica that is back is used again within seconds; the defaults wait up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 3_000),
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.max_metadata_size", 16 << 10),
)


def _service_config(services: Sequence[ServiceDescriptor]) -> str:
    """Round-robin over the replicas that say they serve; retries for RPCs that may safely run twice.

    No `timeout`: set here, Python's client fires it a second early and never tells the server (grpc/grpc#40633).
    """
    repeatable = [
        {"service": service.full_name, "method": method.name}
        for service in services
        for method in service.methods
        if _is_repeatable(method)
    ]
    retries = {
        "maxAttempts": 4,
        "initialBackoff": "0.05s",
        "maxBackoff": "1s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    config: dict[str, object] = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": ""},
    }
    if repeatable:
        config["methodConfig"] = [{"name": repeatable, "retryPolicy": retries}]
    return json.dumps(config)


def _is_repeatable(method: MethodDescriptor) -> bool:
    return method.GetOptions().idempotency_level in _REPEATABLE


def bare_channel(
    target: str,
    *,
    services: Sequence[ServiceDescriptor],
    interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
    tls: Tls | None = None,
) -> grpc.aio.Channel:
    """A channel to `host:port` or `dns:///name:port` that adds nothing to its calls: no deadline, no identity.

    Plaintext without `tls`; OSError if its files cannot be read.
    """
    options = [*_OPTIONS, ("grpc.service_config", _service_config(services))]
    if tls is None:
        return grpc.aio.insecure_channel(target, options=options, interceptors=interceptors)
    return RenewedChannel(
        tls, lambda shown: grpc.aio.secure_channel(target, shown, options=options, interceptors=interceptors)
    )


@asynccontextmanager
async def channel(
    target: str,
    *,
    services: Sequence[ServiceDescriptor],
    credential: ServiceCredential | None = None,
    timeout: timedelta = timedelta(seconds=15),  # noqa: ASYNC109 - of each call, not of this function
    tls: Tls | None = None,
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel whose calls belong to the call being served: they carry its trace, request id, user and deadline.

    Unary calls without a deadline get `timeout`; no call may outlast the one being served. With a `credential` the
    calls also show which service makes them. A stream that is not read to its end must be cancelled (`call.cancel()`):
    gRPC keeps one that is merely dropped open until the channel closes.
    """
    outgoing = _Outgoing(credential, timeout.total_seconds())
    kinds = (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)
    async with bare_channel(
        target, services=services, interceptors=[kind(outgoing) for kind in kinds], tls=tls
    ) as made:
        yield made


class _Outgoing:
    """What every call takes along."""

    def __init__(self, credential: ServiceCredential | None, timeout: float) -> None:
        self._credential = credential
        self._timeout = timeout

    async def call(self, continuation: Continue, details: Details, request: Any, *, streaming: bool) -> Any:
        """Begin the call, and hand back the call object: awaiting it or wrapping its stream would lose cancellation."""
        call = ClientCall(details.method)
        return await call.watched(continuation(self._prepared(details, call.traceparent, streaming), request))

    def _prepared(self, call: Details, traceparent: str, streaming: bool) -> Details:
        default = None if streaming else self._timeout
        return grpc.aio.ClientCallDetails(
            call.method,
            _shortest(call.timeout if call.timeout is not None else default),
            self._metadata(call.metadata, traceparent),
            call.credentials,
            call.wait_for_ready,
        )

    def _metadata(self, given: grpc.aio.Metadata | None, traceparent: str) -> grpc.aio.Metadata:
        """What the caller gave wins over what we would add."""
        metadata = grpc.aio.Metadata(*(given or ()))
        ours = {
            telemetry.TRACEPARENT_KEY: traceparent,
            telemetry.REQUEST_ID_KEY: telemetry.request_id.get(),
            identity.AUTHORIZATION_KEY: identity.authorization(),
            identity.SERVICE_AUTHORIZATION_KEY: f"Bearer {self._credential.token()}" if self._credential else "",
        }
        for key, value in ours.items():
            if value and metadata.get(key) is None:
                metadata.add(key, value)
        return metadata


def _shortest(timeout: float | None) -> float | None:
    remaining = rpc.remaining()
    if remaining is None:
        return timeout
    left = max(remaining - _ANSWER_MARGIN, 0.0)
    return left if timeout is None else min(timeout, left)


class _Interceptor:
    """One interceptor for each kind of RPC, because that is what gRPC asks for."""

    def __init__(self, outgoing: _Outgoing) -> None:
        self._outgoing = outgoing


class _UnaryUnary(_Interceptor, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Continue, client_call_details: Details, request: Any) -> Any:
        return await self._outgoing.call(continuation, client_call_details, request, streaming=False)


class _UnaryStream(_Interceptor, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Continue, client_call_details: Details, request: Any) -> Any:
        return await self._outgoing.call(continuation, client_call_details, request, streaming=True)


class _StreamUnary(_Interceptor, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(
        self, continuation: Continue, client_call_details: Details, request_iterator: Any
    ) -> Any:
        return await self._outgoing.call(continuation, client_call_details, request_iterator, streaming=True)


class _StreamStream(_Interceptor, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(
        self, continuation: Continue, client_call_details: Details, request_iterator: Any
    ) -> Any:
        return await self._outgoing.call(continuation, client_call_details, request_iterator, streaming=True)
