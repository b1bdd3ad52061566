"""Signing in by a provider, as a browser sees it: two redirects and two cookies."""

import json
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import aiohttp

import auth_svc.app
from auth_svc.settings import AuthSettings
from tests.auth_svc.openid import real_provider
from tests.edge.conftest import Start


async def test_a_browser_comes_back_from_the_provider_signed_in(
    start_edge: Start, auth_settings: AuthSettings, new_database: Callable[[], Awaitable[str]]
) -> None:
    async with real_provider() as provider:
        await provider.knows("ada", email="ada@example.com", email_verified=True)
        providers = json.dumps([await provider.register("real")])
        different = {"listen": "127.0.0.1:0", "oidc_providers": providers, "public_url": "https://chat.example"}
        settings = AuthSettings.model_validate(
            auth_settings.model_dump() | different | {"database_url": await new_database()}
        )
        async with (
            auth_svc.app.serving(settings) as auth,
            start_edge(auth_service_url=auth.address) as url,
            aiohttp.ClientSession(url, cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser,
        ):
            async with browser.get("/api/auth/oidc/real", allow_redirects=False) as left:
                assert left.status == 302
                assert left.headers["Cache-Control"] == "no-store"
                there = left.headers["Location"]
            brought = await provider.consent(there, "ada")
            callback = "/api/auth/oidc/real/callback"
            async with aiohttp.ClientSession(url) as other, other.get(callback, params=brought) as refused:
                assert (refused.status, (await refused.json())["code"]) == (400, "oidc_state_invalid")
            async with browser.get(callback, params=brought, allow_redirects=False) as back:
                assert (back.status, back.headers["Location"]) == (303, "https://chat.example/")
                assert back.cookies["oidc"]["max-age"] == "0"
            async with browser.get("/api/auth/me") as me:
                assert (await me.json())["user"]["email"] == "ada@example.com"
            async with browser.get(callback, params={"error": "access_denied", "more": "than we know"}) as unknown:
                assert [error["field"] for error in (await unknown.json())["errors"]] == ["state"]
            async with browser.get("/api/auth/identities") as listed:
                assert (await listed.json())["identities"][0]["provider"] == "real"
        assert urlsplit(there).netloc == urlsplit(provider.url).netloc
