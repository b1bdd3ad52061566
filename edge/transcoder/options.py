"""What the application chooses: once for a transcoder, and for each call."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from edge.transcoder.escapes import Unescape
from edge.transcoder.metadata import RESPONSE_HEADERS
from edge.transcoder.problems import WriteProblem, problem_response
from edge.transcoder.upstream import Metadata


@dataclass(frozen=True, slots=True)
class Options:
    """How a transcoder reads and answers.

    `ignore_unknown` drops unknown fields and parameters; `emit_defaults` prints fields without presence even if they
    are unset. `grace` and `heartbeat` are seconds: how long an event stream waits for its first message before it
    sends its headers, and how often it says that it is alive. `patience` is how many seconds a request's body may take
    to come. `response_headers`: metadata key to header name. `compression`: whether answers that are not streams are
    compressed for clients that want it. `event_id`: the field of a stream's messages, such as `event.sequence`, that is
    the id of a server-sent event; messages without it have none. `open_queries`: the RPCs, by path
    (`/package.Service/Method`), whose unknown query parameters are dropped in any case. `nulls`: the full
    name of an option of messages, a bool; where it is true, unset `optional` fields are printed as null instead of left
    out, which takes several times as long.
    """

    unescape: Unescape = Unescape.ALL_EXCEPT_SLASH
    ignore_unknown: bool = False
    emit_defaults: bool = False
    grace: float = 1.0
    heartbeat: float = 15.0
    patience: float = 120.0
    response_headers: Mapping[str, str] = field(default_factory=lambda: RESPONSE_HEADERS)
    compression: bool = True
    event_id: str = ""
    open_queries: Collection[str] = ()
    nulls: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """What the application adds to a call: metadata for the service, a timeout in seconds, the request's id.

    `stream_headers` are sent with a streamed response, whose headers leave before `serve` returns. `refuse` writes what
    is refused before an answer has begun.
    """

    metadata: Metadata = ()
    timeout: float | None = None
    request_id: str = ""
    stream_headers: Mapping[str, str] = field(default_factory=dict)
    refuse: WriteProblem = problem_response
