"""Reports: what happened in the mesh, in figures.

Owns: the ClickHouse tables, which have every event once, and views that add them up by quarter hours.
Speaks: gRPC `chatmesh.analytics.v1` to analysts; reads all events from NATS.
Calls: no other service but auth, for its public keys.
"""
