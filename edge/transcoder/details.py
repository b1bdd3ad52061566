"""The details of a google.rpc.Status as a client sees them: ProtoJSON, each with its `@type`."""

from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf import descriptor_pb2, duration_pb2
from google.rpc import error_details_pb2
from protobuf import Registry, message_to_json_value
from protobuf.wkt import Any as Packed

from edge.transcoder.descriptors import registry_of
from edge.transcoder.guard import JsonValue
from edge.transcoder.json_codec import CODEC_ERRORS

_DEBUG_INFO = "google.rpc.DebugInfo"  # stack traces are no client's business, wherever they are packed
_SAID_ELSEWHERE = "google.rpc.BadRequest"  # by the problem's `errors`


def _standard() -> Registry:
    """The detail types that every service may use, whether its own descriptors hold them or not."""
    files = descriptor_pb2.FileDescriptorSet()
    for module in (duration_pb2, error_details_pb2):
        module.DESCRIPTOR.CopyToProto(files.file.add())
    return registry_of(files.SerializeToString())


_STANDARD = _standard()


def shown(details: Iterable[Any], registry: Registry | None) -> Iterator[JsonValue]:
    """The JSON of the packed messages that `registry` (a service's own types) or the standard one can read.

    What cannot be read is left out, and hides nothing else.
    """
    for packed in details:
        name = packed.type_url.rpartition("/")[2]
        if name in (_SAID_ELSEWHERE, _DEBUG_INFO) or _DEBUG_INFO.encode() in packed.value:
            continue
        known = registry if registry is not None and registry.message(name) else _STANDARD
        try:
            yield message_to_json_value(Packed(type_url=packed.type_url, value=packed.value), registry=known)
        except CODEC_ERRORS:
            continue
