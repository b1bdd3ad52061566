"""The HTML of the trace pages: no script, no style in the page, every word from outside escaped."""

import zlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from importlib import resources
from string import Template

from edge.console.traces.store import Span, Trace
from edge.console.traces.waterfall import Row

_COLOURS = 8  # classes c0 to c7 of traces.css
_DEEPEST = 12
_NARROWEST = 0.3  # hundredths: a bar that nobody sees tells nothing


def listed(traces: Sequence[Trace], *, words: str, everything: bool) -> str:
    """The list, and the form to search it."""
    table = "".join(_line(trace) for trace in traces)
    nothing = "" if traces else "<p class=empty>No trace yet: send a request, and reload this page a second later.</p>"
    return _page(
        "Traces",
        f"""<form role=search><label>Find <input name=q type=search value="{escape(words)}" autofocus
placeholder="trace id, request id, or part of a name"></label>
<label><input type=checkbox name=all value=1{" checked" if everything else ""}> work in the background, too</label>
<button>Show</button></form>
{nothing}<table class=list><thead><tr><th>began (UTC)<th>what<th class=number>took<th class=number>spans<th>services
<th>request id</thead><tbody>{table}</tbody></table>""",
    )


def one(trace: Trace, rows: Sequence[Row]) -> str:
    """The waterfall of one trace."""
    title = trace.root.name
    services = " ".join(_service(name) for name in sorted({row.span.service for row in rows}))
    request = f"request <code>{escape(trace.request_id)}</code>, " if trace.request_id else ""
    return _page(
        title,
        f"""<nav><a href="/console/traces">all traces</a></nav>
<h1>{escape(title)}</h1>
<p>{_time(trace.began)} UTC, {_ms(trace.milliseconds)}, {len(trace.spans)} spans,
{request}trace <code>{trace.id}</code></p>
<p>{services}</p>
<div class=waterfall>{"".join(_row(row) for row in rows)}</div>""",
    )


def _page(title: str, body: str) -> str:
    frame = (resources.files("edge") / "console" / "traces" / "frame.html").read_text(encoding="utf-8")
    return Template(frame).substitute(title=escape(title), body=body)


def _line(trace: Trace) -> str:
    mark = "<b class=error>failed</b> " if trace.failed else ""
    link = f"<a href='/console/traces?trace={trace.id}'>{escape(trace.root.name)}</a>"
    return (
        f"<tr><td>{_time(trace.began)}<td>{mark}{link}"
        f"<td class=number>{_ms(trace.milliseconds)}<td class=number>{len(trace.spans)}"
        f"<td>{' '.join(map(_service, trace.services))}<td><code>{escape(trace.request_id)}</code>"
    )


def _row(row: Row) -> str:
    span = row.span
    error = f" <b class=error>{escape(span.error)}</b>" if span.error else ""
    more = f" <i>{_more(row)}</i>"
    return (
        f'<details><summary><span class="name d{min(row.depth, _DEEPEST)}">{_service(span.service)} '
        f"{escape(span.name)}{error}{more}</span><span class=number>{_ms(row.milliseconds)}</span>{_bar(row)}"
        f"</summary>{_attributes(span)}</details>"
    )


def _more(row: Row) -> str:
    """What the name alone does not tell: how it ended, where it went, how often, and that it was later."""
    said = [
        "" if row.span.error else escape(row.span.attributes.get("error.type", "")),
        escape(row.span.attributes.get("url.full", "")),
        f"{row.times} times, from the first to the last" if row.times > 1 else "",
        "later, in a batch" if row.linked and row.depth == 0 else "",
    ]
    return ", ".join(filter(None, said))


def _bar(row: Row) -> str:
    kind = "failed" if row.span.error else _colour(row.span.service)
    width = max(row.width, _NARROWEST)
    left = min(row.left, 100 - width)
    return (
        '<svg height="16" width="100%" aria-hidden="true">'
        f'<rect class="{kind}" x="{left:.3f}%" y="2" width="{width:.3f}%" height="12" rx="2"/></svg>'
    )


def _attributes(span: Span) -> str:
    pairs: Iterable[tuple[str, str]] = [("span", f"{span.id} ({span.kind})"), *sorted(span.attributes.items())]
    return f"<dl>{''.join(f'<dt>{escape(key)}<dd>{escape(value)}' for key, value in pairs)}</dl>"


def _service(name: str) -> str:
    return f'<b class="{_colour(name)}">{escape(name)}</b>'


def _colour(service: str) -> str:
    """The same colour for a service on every page."""
    return f"c{zlib.crc32(service.encode()) % _COLOURS}"


def _time(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).strftime("%H:%M:%S.%f")[:-3]


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:,.1f} ms"
