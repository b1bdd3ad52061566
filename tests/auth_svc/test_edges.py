"""Auth as browsers and programs meet it: over REST, by two edges that hear of each other's doings only from Redis."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from chatmesh.auth.v1 import auth_pb2 as pb
from redis.asyncio import Redis

import edge.app
from auth_svc import create_admin
from edge.settings import EdgeSettings
from svckit.local import Engines
from svckit.revocations import KEY
from tests.auth_svc.conftest import Auth
from tests.auth_svc.person import PASSWORD, Person, bearer, refused
from tests.waiting import until

NEW = "another password"


@dataclass(frozen=True)
class Edges:
    """Two edges before one auth service."""

    auth: Auth
    one: aiohttp.ClientSession
    other: aiohttp.ClientSession

    async def statuses(self, **headers: str) -> set[int]:
        """What `GET /api/auth/me` answers at each."""
        found = set()
        for http in (self.one, self.other):
            async with http.get("/api/auth/me", headers=headers) as response:
                found.add(response.status)
        return found

    async def ended(self, *credentials: dict[str, str]) -> bool:
        """Whether neither edge takes them any more, nor a service that is called directly."""
        return all(
            [
                await self.statuses(**credential) == {401} and await self._refused_directly(**credential)
                for credential in credentials
            ]
        )

    async def end(self, *credentials: dict[str, str]) -> None:
        """Wait until they have: nobody who asks a second after the answer of the call that ended them is let in."""
        answered = asked = time.monotonic()
        while not await self.ended(*credentials):
            assert asked - answered < 1.0
            await asyncio.sleep(0.01)
            asked = time.monotonic()

    async def _refused_directly(self, *, authorization: str = "", cookie: str = "") -> bool:
        """Services know tokens only: a cookie is nothing to them."""
        metadata = (("authorization", authorization),) if authorization else ()
        return await refused(self.auth.stub.GetMe(pb.GetMeRequest(), metadata=metadata))


@asynccontextmanager
async def started(auth: Auth, redis_url: str) -> AsyncIterator[Edges]:
    away = {f"{name}_service_url": "127.0.0.1:1" for name in edge.app.SERVICES}
    settings = EdgeSettings.model_validate(
        away | {"edge_port": 0, "redis_url": redis_url, "rate_limit_per_minute": 0, "auth_service_url": auth.address}
    )
    async with AsyncExitStack() as stack:
        sessions = []
        for _ in range(2):
            serving = await stack.enter_async_context(edge.app.serving(settings))
            # Cookies are shown by hand: what these tests are about must be seen in them.
            made = aiohttp.ClientSession(serving.url, cookie_jar=aiohttp.DummyCookieJar())
            sessions.append(await stack.enter_async_context(made))
        yield Edges(auth, *sessions)


@pytest.fixture(scope="session")
async def edges(auth: Auth, engines: Engines) -> AsyncIterator[Edges]:
    async with started(auth, engines.redis_url) as both:
        yield both


@dataclass(frozen=True)
class Device:
    """A signed-in browser, and a program of the same session."""

    session_id: str
    cookie: dict[str, str]
    token: dict[str, str]
    refresh_token: str


async def sign_in(http: aiohttp.ClientSession, person: Person) -> Device:
    async with http.post("/api/auth/signin", json={"email": person.address, "password": person.password}) as response:
        assert response.status == 200, await response.text()
        cookie = response.headers["Set-Cookie"].partition(";")[0]
        tokens = (await response.json())["tokens"]
    token = {"authorization": f"Bearer {tokens['accessToken']}"}
    async with http.get("/api/auth/sessions", headers=token) as response:
        (own,) = [each["id"] for each in (await response.json())["sessions"] if each.get("current")]
    return Device(own, {"cookie": cookie}, token, tokens["refreshToken"])


async def call(
    http: aiohttp.ClientSession, method: str, path: str, headers: dict[str, str], body: Any = None
) -> dict[str, Any]:
    async with http.request(method, f"/api/auth/{path}", headers=headers, json=body) as response:
        assert response.status == 200, await response.text()
        answer: dict[str, Any] = await response.json()
        return answer


Ending = Callable[[Edges, Person, Device, Device], Awaitable[object]]


async def _signed_out(edges: Edges, person: Person, lost: Device, own: Device) -> None:
    await call(edges.one, "POST", "signout", lost.cookie, {})


async def _revoked(edges: Edges, person: Person, lost: Device, own: Device) -> None:
    await call(edges.one, "DELETE", f"sessions/{lost.session_id}", own.cookie)


async def _others_revoked(edges: Edges, person: Person, lost: Device, own: Device) -> None:
    await call(edges.one, "DELETE", "sessions", own.token)


async def _password_changed(edges: Edges, person: Person, lost: Device, own: Device) -> None:
    body = {"currentPassword": person.password, "newPassword": NEW}
    await call(edges.one, "POST", "change-password", own.token, body)


async def _password_reset(edges: Edges, person: Person, lost: Device, own: Device) -> None:
    await call(edges.one, "POST", "forgot-password", {}, {"email": person.address})
    token = await person.mailed_token()
    await call(edges.one, "POST", "reset-password", {}, {"token": token, "password": NEW})


async def _disabled(edges: Edges, person: Person, lost: Device, own: Device) -> None:
    me = (await call(edges.one, "GET", "me", own.token))["user"]
    admin = edges.auth.person()
    await create_admin.main(edges.auth.settings, email=admin.address, password=PASSWORD)
    await call(edges.one, "PATCH", f"users/{me['id']}", (await sign_in(edges.one, admin)).token, {"disabled": True})


async def _deleted(edges: Edges, person: Person, lost: Device, own: Device) -> None:
    await call(edges.one, "DELETE", "me", own.cookie, {"password": person.password})


@pytest.mark.parametrize(
    "end", [_signed_out, _revoked, _others_revoked, _password_changed, _password_reset, _disabled, _deleted]
)
async def test_what_ends_at_one_edge_ends_everywhere_within_a_second(edges: Edges, person: Person, end: Ending) -> None:
    await person.register()
    lost, own = await sign_in(edges.one, person), await sign_in(edges.other, person)
    # Both edges have turned the cookie into a token by now, and remember it.
    assert await edges.statuses(**lost.cookie) == await edges.statuses(**lost.token) == {200}

    await end(edges, person, lost, own)

    await edges.end(lost.cookie, lost.token)


async def test_a_deleted_api_key_ends_at_both_edges(edges: Edges, person: Person) -> None:
    await person.register()
    own = await sign_in(edges.one, person)
    made = await call(edges.one, "POST", "api-keys", own.token, {"name": "a program"})
    key = {"authorization": f"Bearer {made['secret']}"}
    assert await edges.statuses(**key) == {200}

    await call(edges.other, "DELETE", f"api-keys/{made['apiKey']['id']}", own.token)

    await edges.end(key)


async def test_what_ends_while_redis_is_away_ends_at_both_edges_as_well(
    auth: Auth, engines: Engines, person: Person
) -> None:
    assert engines.valkey is not None
    async with started(auth, engines.redis_url) as edges:
        await person.register()
        lost, own = await sign_in(edges.one, person), await sign_in(edges.other, person)
        assert await edges.statuses(**lost.cookie) == await edges.statuses(**lost.token) == {200}
        await engines.valkey.stop()
        try:
            await auth.stub.RevokeSession(
                pb.RevokeSessionRequest(session_id=lost.session_id), metadata=bearer(own.token["authorization"][7:])
            )

            # Nothing is remembered while nothing is heard: auth, which knows, is asked each time.
            await until(lambda: edges.ended(lost.cookie))
            assert await edges.statuses(**own.cookie) == {200}
        finally:
            await engines.valkey.start()

        await until(lambda: edges.ended(lost.token))
        assert await edges.statuses(**own.token) == {200}


async def test_a_redis_that_starts_empty_revives_nothing_and_hears_of_the_next_end(
    auth: Auth, engines: Engines, person: Person
) -> None:
    assert engines.valkey is not None
    await person.register()
    async with Redis.from_url(engines.redis_url) as redis, started(auth, engines.redis_url) as edges:
        lost, next_lost, own = [await sign_in(edges.one, person) for _ in range(3)]
        assert await edges.statuses(**next_lost.cookie) == await edges.statuses(**next_lost.token) == {200}
        await call(edges.one, "DELETE", f"sessions/{lost.session_id}", own.token)
        await redis.aclose()
        await engines.valkey.restart()
        assert await edges.ended(lost.cookie, lost.token)

        await until(lambda: redis.zscore(KEY, lost.session_id))
        async with started(auth, engines.redis_url) as newcomers:
            assert await newcomers.ended(lost.cookie, lost.token)
            await call(edges.one, "DELETE", f"sessions/{next_lost.session_id}", own.token)
            await edges.end(next_lost.cookie, next_lost.token)
            assert await newcomers.ended(next_lost.cookie, next_lost.token)
        assert await edges.statuses(**own.cookie) == await edges.statuses(**own.token) == {200}


async def test_a_program_refreshes_its_tokens_over_rest(edges: Edges, person: Person) -> None:
    await person.register()
    device = await sign_in(edges.one, person)

    tokens = (await call(edges.other, "POST", "refresh", {}, {"refreshToken": device.refresh_token}))["tokens"]

    assert await edges.statuses(authorization=f"Bearer {tokens['accessToken']}") == {200}
    assert tokens["refreshToken"] != device.refresh_token


@pytest.mark.parametrize(
    ("method", "path", "field", "value"),
    [
        ("POST", "signup", "role", "ROLE_ADMIN"),
        ("POST", "signup", "emailVerified", True),
        ("POST", "signup", "id", "01890000-0000-7000-8000-000000000000"),
        ("PATCH", "me", "role", "ROLE_ADMIN"),
        ("PATCH", "me", "emailVerified", True),
        ("PATCH", "me", "email", "else@example.com"),
    ],
)
async def test_nobody_sets_what_is_not_theirs_to_set(
    edges: Edges, person: Person, method: str, path: str, field: str, value: object
) -> None:
    await person.register()
    device = await sign_in(edges.one, person)
    body = {"email": "new@example.com", "password": PASSWORD} if path == "signup" else {"name": "Ada"}

    async with edges.one.request(
        method, f"/api/auth/{path}", json=body | {field: value}, headers=device.token
    ) as response:
        refused = await response.json(content_type=None)

    assert response.status == 400
    assert [error["field"] for error in refused["errors"]] == [field]
    assert (await call(edges.one, "GET", "me", device.token))["user"]["role"] == "ROLE_USER"


async def test_a_cookie_from_before_does_not_become_a_session(edges: Edges, person: Person) -> None:
    """Session fixation: what a stranger put into the browser is replaced, and worth nothing."""
    await person.register()
    planted = {"cookie": "session=planted-by-somebody-else"}
    body = {"email": person.address, "password": person.password}

    async with edges.one.post("/api/auth/signin", json=body, headers=planted) as response:
        cookie = response.headers["Set-Cookie"].partition(";")[0]

    assert cookie not in planted.values()
    assert await edges.statuses(**planted) == {401}
    assert await edges.statuses(cookie=cookie) == {200}


async def test_no_cache_keeps_an_answer_that_holds_a_secret(edges: Edges, person: Person) -> None:
    await person.register()
    device = await sign_in(edges.one, person)
    kept = []
    for method, path, body in (
        ("POST", "signin", {"email": person.address, "password": person.password}),
        ("POST", "refresh", {"refreshToken": device.refresh_token}),
        ("POST", "api-keys", {"name": "a program"}),
        ("POST", "mfa/totp", {"password": person.password}),
        ("GET", "me/export", None),
    ):
        async with edges.one.request(method, f"/api/auth/{path}", headers=device.token, json=body) as response:
            assert response.status == 200
            kept.append(response.headers["Cache-Control"])

    assert set(kept) == {"no-store"}


async def test_too_many_guesses_are_a_429_that_says_how_long(edges: Edges, person: Person) -> None:
    guess = {"email": person.address, "password": "a guess"}
    for _ in range(10):
        async with edges.one.post("/api/auth/signin", json=guess) as response:
            assert response.status == 401

    async def refused() -> tuple[str, str] | None:
        """A guess that came too late to be refused makes the next one wait twice as long."""
        async with edges.other.post("/api/auth/signin", json=guess) as response:
            problem = await response.json(content_type=None)
            return (problem["code"], response.headers["Retry-After"]) if response.status == 429 else None

    code, seconds = await until(refused)
    assert code == "too_many_attempts"
    assert int(seconds) >= 1
