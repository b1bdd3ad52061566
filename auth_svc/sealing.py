"""Seals small secrets that must lie in the database, so that a copy of the database alone gives none of them away."""

import hmac

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

_PURPOSE = b"auth_svc sealing 1"
# Some of the seals go through strangers' hands: no other algorithm than ours is tried, however costly it may be.
_ALGORITHMS = ["dir", "A256GCM"]


class BrokenSeal(Exception):
    """What was sealed was changed, or was sealed under another secret."""


class Seal:
    """Authenticated encryption (JWE `dir` with A256GCM, RFC 7518) under a key derived from a secret setting.

    The key is HMAC-SHA256(secret, purpose): enough of a derivation, as the secret is required to be a long random text.
    Changing the secret breaks every seal. For signing keys, under SERVICE_SECRET, that loses nothing (`signing_keys`);
    the secrets of authenticator apps are lost with MFA_SECRET, and their owners need a recovery code.
    """

    def __init__(self, secret: str, *, purpose: str = "") -> None:
        """What is sealed for one purpose cannot be opened for another."""
        self._key = OctKey.import_key(hmac.digest(secret.encode(), _PURPOSE + purpose.encode(), "sha256"))

    def seal(self, secret: bytes) -> str:
        return jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM"}, secret, self._key)

    def open(self, sealed: str) -> bytes:
        """What was sealed; raises `BrokenSeal`."""
        try:
            plaintext = jwe.decrypt_compact(sealed, self._key, algorithms=_ALGORITHMS).plaintext
        except (JoseError, ValueError) as error:
            raise BrokenSeal from error
        return plaintext or b""
