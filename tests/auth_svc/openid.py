"""OpenID Connect providers: a real one from PyPI in a process of its own, and one of ours that lies on demand."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
from aiohttp import web
from chatmesh.auth.v1 import auth_pb2 as pb
from joserfc import jwt
from joserfc.jwk import RSAKey

from svckit.local.ports import free_port
from tests.auth_svc.conftest import Auth
from tests.auth_svc.inbox import LOOPBACK
from tests.waiting import until

CALLBACK = "https://chat.example/api/auth/oidc/{}/callback"
Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class RealProvider:
    """oidc-provider-mock: registration, consent, codes and signatures by Authlib."""

    url: str
    http: aiohttp.ClientSession

    async def register(self, name: str) -> dict[str, str]:
        """Make a client of it; the settings of the provider `name`."""
        body = {"redirect_uris": [CALLBACK.format(name)], "scope": "openid email profile"}
        async with self.http.post(f"{self.url}/oauth2/clients", json=body) as response:
            client = await response.json()
        return {
            "name": name,
            "issuer": self.url,
            "client_id": client["client_id"],
            "client_secret": client["client_secret"],
        }

    async def knows(self, subject: str, **claims: object) -> None:
        """Give it a person."""
        async with self.http.put(f"{self.url}/users/{subject}", json=claims) as response:
            assert response.status == 204

    async def consent(self, url: str, subject: str, *, action: str = "allow") -> dict[str, str]:
        """Sign in there and agree, as a person at a browser; what the browser is to bring back, and nowhere else."""
        form = {"sub": subject, "action": action}
        async with self.http.post(url, data=form, allow_redirects=False) as response:
            assert response.status == 302, await response.text()
            return dict(parse_qsl(urlsplit(response.headers["Location"]).query))


@asynccontextmanager
async def real_provider() -> AsyncIterator[RealProvider]:
    port = free_port()
    options = ("--port", str(port), "--require-registration", "true", "--require-nonce", "true")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "oidc_provider_mock", *options),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with aiohttp.ClientSession() as http:
            provider = RealProvider(f"http://{LOOPBACK}:{port}", http)
            await until(lambda: _answers(provider))
            yield provider
    finally:
        process.kill()
        await process.wait()


async def _answers(provider: RealProvider) -> bool:
    try:
        async with provider.http.get(f"{provider.url}/.well-known/openid-configuration") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


@dataclass
class LyingProvider:
    """Says of its tokens, its keys and itself what it is told to."""

    url: str = ""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, parameters={"kid": "first"}))
    published: list[dict[str, Any]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    """What its description says otherwise than the truth."""
    token: str = ""
    status: int = 200
    body: dict[str, Any] | None = None
    """What the token end point answers instead of a token."""
    asked: list[dict[str, str]] = field(default_factory=list)
    fetched: int = 0

    def tell_the_truth(self) -> None:
        self.metadata, self.body, self.status = {}, None, 200
        self.published = [dict(self.key.as_dict(private=False))]

    def sign(self, nonce: str, /, *, header: Mapping[str, Any] | None = None, key: Any = None, **claims: Any) -> None:
        """The next token: good, but for what is given; None takes a claim away."""
        now = int(datetime.now(UTC).timestamp())
        good = {
            "iss": self.url, "aud": "chatmesh", "sub": "somebody", "nonce": nonce, "iat": now, "exp": now + 300,
            "email": "somebody@example.com", "email_verified": True,
        }  # fmt: skip
        said = {name: value for name, value in {**good, **claims}.items() if value is not None}
        headers = {"alg": "RS256", "kid": "first", **(header or {})}
        self.token = jwt.encode(headers, said, key or self.key, algorithms=[headers["alg"]])

    async def describe(self, _request: web.Request) -> web.Response:
        self.fetched += 1
        truth = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
        }
        return web.json_response({**truth, **self.metadata})

    async def keys(self, _request: web.Request) -> web.Response:
        return web.json_response({"keys": self.published})

    async def never(self, _request: web.Request) -> web.Response:
        """Let the caller wait."""
        await asyncio.Event().wait()
        raise AssertionError

    async def redeem(self, request: web.Request) -> web.Response:
        self.asked.append({name: str(value) for name, value in (await request.post()).items()})
        body = {"access_token": "opaque", "token_type": "Bearer", "id_token": self.token}
        return web.json_response(body if self.body is None else self.body, status=self.status)


@asynccontextmanager
async def lying_provider() -> AsyncIterator[LyingProvider]:
    lying = LyingProvider()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", lying.describe)
    app.router.add_get("/jwks", lying.keys)
    app.router.add_post("/token", lying.redeem)
    app.router.add_get("/never", lying.never)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0).start()
    lying.url = f"http://{LOOPBACK}:{runner.addresses[0][1]}"
    lying.tell_the_truth()
    try:
        yield lying
    finally:
        await runner.cleanup()


@dataclass
class Traveller:
    """A browser on its way to a provider and back, as the edge tells of it."""

    auth: Auth
    provider: str
    url: str = ""
    cookie: str = ""

    @property
    def sent(self) -> dict[str, str]:
        """What the browser takes to the provider."""
        return dict(parse_qsl(urlsplit(self.url).query))

    async def leave(self, *, return_to: str = "") -> dict[str, str]:
        """Begin to sign in; what the headers say."""
        request = pb.BeginOidcSignInRequest(provider=self.provider, return_to=return_to)
        call = self.auth.as_edge.BeginOidcSignIn(request)
        self.url = (await call).authorization_url
        return self._keep(dict(await call.initial_metadata()))

    async def leave_to_link(self, metadata: Metadata) -> None:
        call = self.auth.as_edge.LinkIdentity(pb.LinkIdentityRequest(provider=self.provider), metadata=metadata)
        self.url = (await call).authorization_url
        self._keep(dict(await call.initial_metadata()))

    async def come_back(self, brought: Mapping[str, str], metadata: Metadata = ()) -> list[tuple[str, str]]:
        """Bring back what the provider gave; the headers of the answer."""
        known = {
            name: text for name, text in brought.items() if name in pb.CompleteOidcRequest.DESCRIPTOR.fields_by_name
        }
        call = self.auth.as_edge.CompleteOidc(
            pb.CompleteOidcRequest(provider=self.provider, **known),
            metadata=(*metadata, ("x-cookie-oidc", self.cookie)),
        )
        await call
        return [(key, str(value)) for key, value in await call.initial_metadata()]

    async def sent_back(self, brought: Mapping[str, str], metadata: Metadata = ()) -> str:
        """Bring back what gets nobody in; the code of the error, which is told to the page."""
        headers = await self.come_back(brought, metadata)
        (location,) = [value for key, value in headers if key == "location"]
        assert [value for key, value in headers if key == "set-cookie" and not value.startswith("oidc=;")] == []
        page, _, code = location.partition("#error=")
        assert page.startswith(str(self.auth.settings.public_url))
        return code

    def _keep(self, headers: dict[Any, Any]) -> dict[str, str]:
        found = {str(key): str(value) for key, value in headers.items()}
        self.cookie = found["set-cookie"].partition(";")[0].removeprefix("oidc=")
        return found


def session_in(headers: list[tuple[str, str]]) -> str:
    """The value of the session cookie, which must be there."""
    cookies = [value for key, value in headers if key == "set-cookie" and value.startswith("session=")]
    assert len(cookies) == 1
    return cookies[0].partition(";")[0].removeprefix("session=")
