"""Codes of authenticator apps (RFC 6238): SHA-1, six digits, 30 seconds, which is what every app knows."""

import hmac
from datetime import datetime

import pyotp

_ISSUER = "chatmesh"
_STEP_SECONDS = 30
_NEIGHBOURS = 1  # steps by which a phone's clock may be wrong, either way


def new_secret() -> str:
    """160 random bits in base32."""
    return pyotp.random_base32()


def uri(secret: str, *, account: str) -> str:
    """What an app reads from a QR code: `otpauth://totp/…`."""
    return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=_ISSUER)


def matching_step(secret: str, code: str, *, now: datetime, after: int) -> int | None:
    """The number of the time step that has this code: the present one or a neighbour, and later than `after`.

    A code counts once: whoever takes it gives its step as `after` from then on.
    """
    typed, present = "".join(code.split()), int(now.timestamp()) // _STEP_SECONDS
    codes = pyotp.TOTP(secret)
    for step in range(max(present - _NEIGHBOURS, after + 1), present + _NEIGHBOURS + 1):
        if hmac.compare_digest(codes.generate_otp(step).encode(), typed.encode()):
            return step
    return None
