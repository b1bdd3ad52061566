"""REST and JSON to gRPC, as google/api/http.proto says it; knows nothing of this product.

Owns: routing, binding, JSON, forms, streams, problem documents, compression and conditional requests.
Takes: a descriptor set and an `Upstream`.
Speaks: HTTP on an aiohttp request, bytes of protobuf messages towards the upstream.
Calls: whatever the upstream reaches; `GrpcUpstream` is the one over grpc.aio channels.

The way through it, from `transcoder.py` on:

at the start    descriptors → templates → routes (a `Binder` each) → matcher → router
which route     router, matcher, negotiation (Accept)
to a message    reading → bodies: json_codec (guard), forms (parts), masks; query, given, escapes → wire; then required
                request_streams: the same for each line, or chunk, of a body that is a stream
what goes along forwarding: headers to metadata, deadlines; metadata: what services say of their answers
the call        upstream, the seam; grpc_upstream
the answer      answers → delivery: conditional, compression
                stream_answers → streaming, framing, event_ids
WebSockets      websocket → websocket_session, inbox
errors          problems; statuses and details of RPCs; not_http
beside it       fields, nulls, options; standalone/, the program; openapi/, the document
"""

from edge.transcoder.delivery import delivered
from edge.transcoder.descriptors import RuleError
from edge.transcoder.escapes import Unescape
from edge.transcoder.forwarding import Forwarding, call_of, timeout_of
from edge.transcoder.grpc_upstream import GrpcUpstream
from edge.transcoder.options import Call, Options
from edge.transcoder.problems import FieldError, Problem, Refused, WriteProblem, problem_response
from edge.transcoder.router import Match
from edge.transcoder.routes import Route
from edge.transcoder.statuses import problem_of
from edge.transcoder.transcoder import Transcoder
from edge.transcoder.upstream import Metadata, Reply, ReplyStream, Upstream, UpstreamError
from edge.transcoder.websocket import is_handshake

__all__ = [
    "Call",
    "FieldError",
    "Forwarding",
    "GrpcUpstream",
    "Match",
    "Metadata",
    "Options",
    "Problem",
    "Refused",
    "Reply",
    "ReplyStream",
    "Route",
    "RuleError",
    "Transcoder",
    "Unescape",
    "Upstream",
    "UpstreamError",
    "WriteProblem",
    "call_of",
    "delivered",
    "is_handshake",
    "problem_of",
    "problem_response",
    "timeout_of",
]
