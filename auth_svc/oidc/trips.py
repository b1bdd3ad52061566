"""A browser's way to a provider and back: what it takes along, so that nothing is kept here meanwhile.

The cookie holds 256 random bits that the provider never sees. Nonce and code verifier are made of them, and the
`state`, which is sealed, holds their hash: whoever comes back without the cookie of that very trip has not begun it.
"""

import base64
import hashlib
import json
from dataclasses import asdict, dataclass, field
from datetime import timedelta

from auth_svc import tokens
from auth_svc.clock import Clock
from auth_svc.sealing import BrokenSeal, Seal
from svckit.errors import InvalidArgument

LIFE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """Where a browser went and what for: to sign in, or to link the identity to that user by that session."""

    provider: str
    return_to: str
    user_id: str = ""
    session_id: str = ""


@dataclass(frozen=True, slots=True)
class Luggage:
    """What the browser keeps; the rest is made of it."""

    cookie: str = field(repr=False)

    @property
    def nonce(self) -> str:
        return self._made("nonce")

    @property
    def verifier(self) -> str:
        """The code verifier of RFC 7636."""
        return self._made("verifier")

    @property
    def challenge(self) -> str:
        """The S256 code challenge."""
        return _base64url(hashlib.sha256(self.verifier.encode()).digest())

    def _made(self, what: str) -> str:
        return _base64url(tokens.digest(f"{what}:{self.cookie}"))


class Trips:
    """Begins and ends them."""

    def __init__(self, *, seal: Seal, clock: Clock) -> None:
        self._seal = seal
        self._clock = clock

    def begin(self, trip: Trip) -> tuple[Luggage, str]:
        """What the browser takes along, and the `state` for the provider to send back."""
        luggage = Luggage(tokens.new_token())
        until = self._clock() + LIFE
        told = {"trip": asdict(trip), "mark": _mark(luggage), "until": until.timestamp()}
        return luggage, self._seal.seal(json.dumps(told).encode())

    def end(self, state: str, cookie: str, *, provider: str) -> tuple[Luggage, Trip]:
        """The trip that a browser comes back from; InvalidArgument (OIDC_STATE_INVALID) if it is none of its own."""
        luggage = Luggage(cookie)
        try:
            told = json.loads(self._seal.open(state))
        except BrokenSeal:
            raise _invalid() from None
        trip, over = Trip(**told["trip"]), told["until"] <= self._clock().timestamp()
        if over or trip.provider != provider or told["mark"] != _mark(luggage):
            raise _invalid()
        return luggage, trip


def _mark(luggage: Luggage) -> str:
    return tokens.digest(luggage.cookie).hex()


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _invalid() -> InvalidArgument:
    message = "is not of a sign-in that this browser began in the last ten minutes: begin again"
    return InvalidArgument.of("state", message, reason="OIDC_STATE_INVALID")
