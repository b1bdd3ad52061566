"""The transcoder as a program of its own: `python -m edge.transcoder` in front of any plaintext gRPC server.

Owns: the command line, where descriptors come from (a file, or the upstream's reflection), and the HTTP server.
Speaks: HTTP/1.1, as its parent package does. Calls: one gRPC server.
"""
