"""Conversations, the messages in them, and the generations that answer.

Owns: the PostgreSQL schema `chat`; in Redis the live event streams of generations and the leases of its replicas.
Speaks: gRPC `chatmesh.chat.v1`; publishes `ev.chat.*` on NATS, and hears from it of deleted accounts and of plans.
Calls: the models' providers (`chat_svc.providers`); no other service but auth, for its public keys.
"""
