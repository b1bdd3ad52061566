"""Analytics: what happened in the mesh, in figures.

Owns the ClickHouse tables: every event once, and views that add them up by quarter hours. Speaks gRPC
`chatmesh.analytics.v1` to analysts, reads all events from NATS. Calls auth, for the keys that tokens are signed with.
"""
