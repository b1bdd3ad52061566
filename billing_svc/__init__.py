"""Plans, subscriptions, invoices, and what a customer may use for them.

Owns: the PostgreSQL schema `billing`, which is a projection of Stripe: Stripe decides, we follow.
Speaks: gRPC `chatmesh.billing.v1`; publishes `ev.billing.*` on NATS, and hears from it of deleted accounts; receives
Stripe's webhooks from the edge.
Calls: Stripe, or without a key its emulator in `billing_svc.emulator`; no other service but auth, for its public keys.
"""
