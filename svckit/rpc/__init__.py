"""What happens around every RPC that a process serves, each thing in a file of its own.

From the outside in: `log` (ids, one line, one measurement, one span) → `errors` (what was raised becomes a status) →
`shedding` → `access` (who calls, and may they) → `deadline` → `validation` (the proto's rules) → the handler.
"""

from collections.abc import Sequence

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from svckit.identity import ServiceCredential, TokenVerifier
from svckit.rpc.access import Gate
from svckit.rpc.deadline import detached, remaining
from svckit.rpc.pipeline import Pipeline

__all__ = ["detached", "interceptors", "remaining"]


def interceptors(
    services: Sequence[ServiceDescriptor],
    *,
    verifier: TokenVerifier,
    credential: ServiceCredential,
    max_concurrent: int,
) -> Sequence[grpc.aio.ServerInterceptor]:
    """All of it, for a server of those services."""
    gate = Gate(verifier=verifier, credential=credential)
    return [Pipeline(services=services, gate=gate, max_concurrent=max_concurrent)]
