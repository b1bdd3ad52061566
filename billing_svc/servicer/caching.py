"""What an answer says to caches."""

# An answer with a client secret is for nobody's cache.
NO_STORE = ("cache-control", "no-store")
