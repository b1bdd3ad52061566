"""The credential by which the processes of one mesh know each other."""

import time
from dataclasses import dataclass, field
from datetime import timedelta

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from svckit.errors import Unauthenticated
from svckit.identity.jwts import AUDIENCE, claims_registry, expect_type

_LIFE = timedelta(minutes=2)
_REUSE = 60  # seconds after which a token is made anew


@dataclass
class ServiceCredential:
    """Shows the other processes which one of the mesh this is, and checks what they show."""

    name: str
    secret: str = field(repr=False)
    _token: str = field(default="", init=False, repr=False)
    _made: float = field(default=0.0, init=False, repr=False)

    def __post_init__(self) -> None:
        self._key = OctKey.import_key(self.secret)
        self._claims = claims_registry("iss", aud=AUDIENCE)

    def token(self) -> str:
        """A service token of two minutes, made anew after one."""
        now = time.time()
        if now - self._made > _REUSE:
            self._token, self._made = self.issue(_LIFE), now
        return self._token

    def issue(self, life: timedelta) -> str:
        """A new service token, an HS256 JWT, that counts for that long."""
        now = int(time.time())
        claims = {"iss": self.name, "aud": AUDIENCE, "iat": now, "exp": now + int(life.total_seconds())}
        return jwt.encode({"alg": "HS256", "typ": "svc+jwt"}, claims, self._key, algorithms=["HS256"])

    def verify(self, token: str) -> str:
        """The name of the service that made `token`; raises `Unauthenticated`."""
        try:
            expect_type(token, "svc+jwt")
            payload = jwt.decode(token, self._key, algorithms=["HS256"]).claims
            self._claims.validate(payload)
        except (JoseError, ValueError) as error:
            raise Unauthenticated("the service credential is not valid", reason="TOKEN_INVALID") from error
        return str(payload["iss"])
