"""What a request costs: the edge beside Envoy's gRPC-JSON transcoder and a direct call, on one backend in one run.

`python -m bench` (or `make bench`) starts everything on loopback, measures, and writes docs/benchmarks.md.
Linux only: CPU time is read from /proc.
"""
