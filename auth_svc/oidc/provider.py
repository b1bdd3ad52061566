"""One provider: where it is (OpenID Connect Discovery 1.0), its keys, and what it gives for a code."""

import asyncio
import base64
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import quote_plus, urlencode

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from auth_svc.clock import Clock
from auth_svc.oidc import id_tokens
from auth_svc.oidc.configured import Configured
from auth_svc.oidc.id_tokens import BadToken, Expected, Profile, PublicKey, UnknownKey
from auth_svc.oidc.wire import Wire, unavailable
from svckit.errors import Unauthenticated, Unavailable

log = structlog.get_logger(__name__)

_MAX_AGE = 3600.0  # seconds for which the provider's documents are taken as they were
_MIN_AGE = 10.0  # seconds between two fetches, however many unknown keys are named


class Metadata(BaseModel):
    """As much of a provider's own description as is needed."""

    model_config = ConfigDict(frozen=True)

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    id_token_signing_alg_values_supported: Annotated[tuple[str, ...], Field(min_length=1)]
    authorization_response_iss_parameter_supported: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What a provider has published, and when it was fetched (monotonic, in seconds)."""

    metadata: Metadata
    keys: Sequence[PublicKey]
    fetched: float


@dataclass(frozen=True, slots=True)
class Redeemable:
    """What a browser brought back, with what only it and we know."""

    code: str = field(repr=False)
    verifier: str = field(repr=False)
    nonce: str


class Provider:
    """Sends browsers there and redeems what they bring back. Its documents are fetched when they are needed first."""

    def __init__(
        self,
        configured: Configured,
        *,
        wire: Wire,
        public_url: str,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.configured = configured
        self._wire = wire
        self._callback = f"{public_url.rstrip('/')}/api/auth/oidc/{configured.name}/callback"
        self._clock = clock
        self._monotonic = monotonic
        self._known: Known | None = None
        self._failed = -math.inf
        self._fetching = asyncio.Lock()

    async def authorization_url(self, *, state: str, nonce: str, challenge: str) -> str:
        """Where to send a browser; `challenge` is the S256 code challenge (RFC 7636). Raises Unavailable."""
        metadata = (await self._documents()).metadata
        parameters = {
            "response_type": "code",
            "client_id": self.configured.client_id,
            "redirect_uri": self._callback,
            "scope": self.configured.scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        separator = "&" if "?" in metadata.authorization_endpoint else "?"
        return f"{metadata.authorization_endpoint}{separator}{urlencode(parameters)}"

    async def sends(self, iss: str) -> bool:
        """Whether an answer that names `iss` as its sender can be this provider's (RFC 9207). Raises Unavailable."""
        required = (await self._documents()).metadata.authorization_response_iss_parameter_supported
        return iss == self.configured.issuer or (not iss and not required)

    async def redeem(self, brought: Redeemable) -> Profile:
        """Exchange a code for whom it means; Unauthenticated (OIDC_TOKEN_INVALID) if that proves nothing."""
        token = await self._exchange(brought)
        try:
            try:
                return self._read(await self._documents(), token, brought.nonce)
            except UnknownKey:
                return self._read(await self._documents(fresh=True), token, brought.nonce)
        except BadToken as error:
            log.warning("an ID token is not valid", provider=self.configured.name, problem=str(error))
            raise _invalid() from error

    def _read(self, known: Known, token: str, nonce: str) -> Profile:
        offered = known.metadata.id_token_signing_alg_values_supported
        return id_tokens.read(
            token,
            keys=known.keys,
            algorithms=[name for name in id_tokens.ALGORITHMS if name in offered],
            expected=Expected(issuer=self.configured.issuer, client_id=self.configured.client_id, nonce=nonce),
            now=self._clock(),
        )

    async def _exchange(self, brought: Redeemable) -> str:
        """The ID token for a code."""
        metadata = (await self._documents()).metadata
        form = {
            "grant_type": "authorization_code",
            "code": brought.code,
            "redirect_uri": self._callback,
            "code_verifier": brought.verifier,
        }
        authorization = self._authorization(metadata)
        if not authorization:
            form |= {"client_id": self.configured.client_id}
            if secret := self.configured.client_secret.get_secret_value():
                form |= {"client_secret": secret}
        answer = await self._wire.post(metadata.token_endpoint, form, authorization=authorization)
        if answer.status == 400 and answer.body.get("error") == "invalid_grant":
            raise _invalid()
        token = answer.body.get("id_token")
        if answer.status != 200 or not isinstance(token, str):
            raise unavailable(metadata.token_endpoint, f"status {answer.status}, {answer.body.get('error')}")
        return token

    def _authorization(self, metadata: Metadata) -> str:
        """How the client shows who it is (RFC 6749, section 2.3.1); empty: in the form, or not at all."""
        secret = self.configured.client_secret.get_secret_value()
        if not secret or "client_secret_basic" not in metadata.token_endpoint_auth_methods_supported:
            return ""
        pair = f"{quote_plus(self.configured.client_id)}:{quote_plus(secret)}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    async def _documents(self, *, fresh: bool = False) -> Known:
        """What the provider publishes; `fresh` asks again, but not more often than every ten seconds."""
        longest, asked = _MIN_AGE if fresh else _MAX_AGE, self._monotonic()
        if (known := self._younger_than(longest)) is not None:
            return known
        async with self._fetching:
            if (known := self._younger_than(longest)) is not None:
                return known
            if self._failed < asked:  # those who waited for a fetch that failed do not make it again, one by one
                await self._try_to_fetch()
            if self._known is None:
                raise unavailable(self.configured.issuer, "nothing is known of it")
            return self._known

    def _younger_than(self, seconds: float) -> Known | None:
        return self._known if self._known and self._monotonic() - self._known.fetched < seconds else None

    async def _try_to_fetch(self) -> None:
        """Fetch the documents; while that fails, those of before go on counting."""
        try:
            self._known = await self._fetch()
        except Unavailable:
            self._failed = self._monotonic()

    async def _fetch(self) -> Known:
        url = f"{self.configured.issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            metadata = Metadata.model_validate(await self._wire.get(url))
        except ValidationError as error:
            raise unavailable(url, f"{error.error_count()} fields are missing or wrong") from error
        if metadata.issuer != self.configured.issuer:
            raise unavailable(url, f"it says that it is {metadata.issuer}")
        for endpoint in (metadata.authorization_endpoint, metadata.token_endpoint, metadata.jwks_uri):
            if self.configured.issuer.startswith("https:") and not endpoint.startswith("https:"):
                raise unavailable(url, f"{endpoint} is not https")
        keys = id_tokens.public_keys(await self._wire.get(metadata.jwks_uri))
        return Known(metadata, keys, self._monotonic())


def _invalid() -> Unauthenticated:
    return Unauthenticated("the provider's answer does not prove who you are: try again", reason="OIDC_TOKEN_INVALID")
