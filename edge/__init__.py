"""The edge: HTTP in, gRPC out.

Owns: the one public port (REST, SSE, NDJSON, WebSocket) and who calls there; no rule about any domain.
Speaks: HTTP/1.1 with JSON. Its routes are the `google.api.http` annotations of the services' protos.
Calls: every service, bytes in and bytes out; hears on Redis which sessions have ended.
`edge.transcoder` is the part that knows nothing of this product.
"""
