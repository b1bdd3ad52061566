"""A stand-in for Stripe, at the wire: an HTTP server for the official SDK when there is no key. No real money.

Owns one SQLite file, so that customers, subscriptions and events survive a restart and a crash. Knows only what our
driver calls; anything else is refused as Stripe refuses it, never ignored. Time is the machine's, and that of a test
clock for the customers who are on one. `python -m billing_svc.emulator`.
"""

# The one version of Stripe's API that it speaks: what stripe-python 16.1 pins.
API_VERSION = "2026-10-28.endive"
