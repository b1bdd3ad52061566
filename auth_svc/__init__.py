"""Accounts, sessions and the tokens that prove them.

Owns: the PostgreSQL schema `auth`, the keys that sign access tokens, and every mail that leaves the mesh.
Speaks: gRPC `chatmesh.auth.v1`; publishes `ev.auth.user.*` on NATS; announces ended sessions on Redis.
Calls: an SMTP server, the OpenID Connect providers that are configured, and no other service.
"""
