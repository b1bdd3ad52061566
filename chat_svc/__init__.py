"""Conversations, the messages in them, and the generations that answer.

Owns the PostgreSQL schema `chat`; in Redis the live event streams of generations and the leases of its replicas.
Speaks gRPC `chatmesh.chat.v1`; publishes `ev.chat.*` through its outbox.
Calls the models' providers (`providers/`) and, for the keys of access tokens, auth_svc.
"""
