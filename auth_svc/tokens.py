"""Opaque tokens: 256 random bits for their holder, and only their SHA-256 for the database.

No salt and no slow hash: nobody can guess 256 random bits (ASVS 6.5.2 asks for slow hashes below 112 bits).
"""

import hashlib
import secrets


def new_token() -> str:
    """A token of 43 URL-safe characters."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """What is kept of a token, and found again by."""
    return hashlib.sha256(token.encode()).digest()
