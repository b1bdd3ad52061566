"""Recovery codes: what lets somebody in whose authenticator app is lost.

120 random bits each, so that their SHA-256 is enough to keep (ASVS 6.5.2), and nobody needs to count wrong ones.
"""

import base64
import secrets

from auth_svc import tokens

COUNT = 10

_BYTES = 15
_GROUP = 6  # characters between hyphens


def new_codes() -> list[str]:
    """Ten codes, such as `7QMW2K-J4ZX3A-PL5RSV-T6BHND`."""
    return [_grouped(base64.b32encode(secrets.token_bytes(_BYTES)).decode()) for _ in range(COUNT)]


def digest(code: str) -> bytes:
    """What is kept of a code, and found again by, however it was typed."""
    return tokens.digest("".join(code.split()).replace("-", "").upper())


def _grouped(text: str) -> str:
    return "-".join(text[start : start + _GROUP] for start in range(0, len(text), _GROUP))
