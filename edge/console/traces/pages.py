"""The pages themselves: what they answer, and the receiver beside them."""

from collections.abc import Awaitable, Callable
from importlib import resources

from aiohttp import web

from edge.console.traces import html
from edge.console.traces.receiver import ACCEPTED, CONTENT_TYPE, spans_of
from edge.console.traces.store import Traces
from edge.console.traces.waterfall import rows
from edge.transcoder import Problem, Refused, delivered
from edge.transcoder.reading import read_body

PATH = "/console/traces"
STYLE = f"{PATH}/traces.css"
# What OTEL_EXPORTER_OTLP_ENDPOINT names is this without its `/v1/traces`.
RECEIVER = "/console/otlp/v1/traces"

_SHOWN = 100
_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

Page = Callable[[web.BaseRequest], Awaitable[web.Response]]


def trace_pages(*, patience: float) -> dict[tuple[str, str], Page]:
    """The handler of each method and path, with one memory; a body may take `patience` seconds to come."""
    traces = Traces()
    style = (resources.files("edge") / "console" / "traces" / "traces.css").read_bytes()

    async def receive(request: web.BaseRequest) -> web.Response:
        # A page of another site cannot send this type without asking first, and is not allowed to.
        if request.content_type != CONTENT_TYPE:
            raise Refused(Problem(415, "unsupported_media_type", f"This path takes {CONTENT_TYPE}."))
        traces.add(spans_of(await read_body(request, patience=patience)))
        return web.Response(body=ACCEPTED, content_type=CONTENT_TYPE)

    async def show(request: web.BaseRequest) -> web.Response:
        if wanted := request.query.get("trace"):
            return await _page(request, _one(traces, wanted))
        words, everything = request.query.get("q", "").strip(), "all" in request.query
        found = [trace for trace in traces.newest() if not words or trace.is_found_by(words)]
        shown = found if everything or words else [trace for trace in found if trace.root.kind == "server"]
        return await _page(request, html.listed(shown[:_SHOWN], words=words, everything=everything))

    async def show_style(request: web.BaseRequest) -> web.Response:
        return await delivered(request, web.Response(body=style, content_type="text/css", charset="utf-8"))

    return {
        ("POST", RECEIVER): receive,
        **{(method, PATH): show for method in ("GET", "HEAD")},
        **{(method, STYLE): show_style for method in ("GET", "HEAD")},
    }


def _one(traces: Traces, id: str) -> str:
    trace = traces.get(id)
    if trace is None:
        raise Refused(Problem(404, "not_found", "No such trace is kept here: only the last ones are."))
    return html.one(trace, rows(trace, traces.following(id)))


async def _page(request: web.BaseRequest, text: str) -> web.Response:
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
    response = web.Response(text=text, content_type="text/html", charset="utf-8", headers=headers)
    return await delivered(request, response)
