"""`chatmesh gen-secrets`: the secrets that an installation makes up by itself, as lines of a `.env`."""

import secrets

_BYTES = 32

# Why each is kept, as a comment above it.
_MADE = {
    "SERVICE_SECRET": "the processes of the mesh prove themselves with it: the same in all of them",
    "MFA_SECRET": "seals the secrets of authenticator apps: without it everybody has to enrol anew",
}
_FROM_OTHERS = {
    "STRIPE_SECRET_KEY": "Stripe's dashboard, Developers, API keys: sk_test_… or sk_live_…",
    "STRIPE_WEBHOOK_SECRET": "Stripe's dashboard, the endpoint PUBLIC_URL/api/webhooks/stripe: whsec_…",
}


def lines() -> str:
    """Write a `.env` with new secrets of 256 bits; what only others can give stands there as a comment."""
    made = [f"# {why}\n{name}={secrets.token_urlsafe(_BYTES)}" for name, why in _MADE.items()]
    others = [f"# {where}\n#{name}=" for name, where in _FROM_OTHERS.items()]
    return "\n".join([*made, *others]) + "\n"
