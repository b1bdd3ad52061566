"""What the contracts say about each RPC besides its route: who may call it, and how long it may take."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from chatmesh.access.v1 import access_pb2
from google.protobuf.descriptor import ServiceDescriptor

_DEFAULT_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Policy:
    """One RPC's options. `timeout` is in seconds; None for a stream, which may last."""

    public: bool
    timeout: float | None


def policies(services: Iterable[ServiceDescriptor]) -> Mapping[str, Policy]:
    """The policy of every RPC, by its path (`/package.Service/Method`)."""
    found: dict[str, Policy] = {}
    for service in services:
        for method in service.methods:
            options = method.GetOptions()
            seconds = options.Extensions[access_pb2.deadline_seconds] or _DEFAULT_SECONDS
            found[f"/{service.full_name}/{method.name}"] = Policy(
                public=options.Extensions[access_pb2.level] == access_pb2.LEVEL_PUBLIC,
                timeout=None if method.server_streaming else seconds,
            )
    return found
