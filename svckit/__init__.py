"""What every process of the mesh needs to run, and nothing about any one of them.

Owns: servers, channels and what happens around each RPC; identity; PostgreSQL, outbox and events; logs and metrics.
Speaks: gRPC, HTTP on the admin port, PostgreSQL, Redis, NATS. Calls no service but auth's `ListSigningKeys`.
Admission: at least three processes use it, and another company could lift it into their repository unchanged.
"""
