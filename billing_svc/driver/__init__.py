"""The calls that we make to Stripe, a module for each of its resources: whether Stripe or its emulator answers.

Each call that creates something carries an idempotency key made from our own rows, so that asking again after a lost
answer creates nothing twice (https://docs.stripe.com/api/idempotent_requests).
"""
