"""`/console/traces`: where the time of a request went. In development only.

Owns: the last traces, in memory. Takes: spans by OTLP over HTTP (protobuf), as every process sends them to any
collector. Shows: a list, and a waterfall; HTML and SVG made here, without a line of JavaScript.
"""

from edge.console.traces.pages import PATH, RECEIVER, trace_pages

__all__ = ["PATH", "RECEIVER", "trace_pages"]
