"""What another site may not have a browser do."""

import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.edge.conftest import Start
from tests.edge.test_edge import SIGN_UP, problem

APP = "https://app.example.com"
EVIL = "https://evil.example"


@pytest.fixture(scope="module")
async def shop_url(start_edge: Start, auth: str) -> AsyncIterator[str]:
    """An edge that people reach under a name of its own, with a front end on another origin."""
    async with start_edge(auth_service_url=auth, public_url="https://chat.example.com/", cors_origins=APP) as url:
        yield url


async def posted(url: str, **headers: str) -> tuple[int, str]:
    """The status, and the code of the problem if there is one, of a sign-in as a form sends it."""
    body = json.dumps({"email": "nobody@example.com", "password": "a long walk home"})
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession(url) as http,
        http.post("/api/auth/signin", data=body, headers={"Content-Type": "text/plain", **named}) as response,
    ):
        return response.status, (await problem(response))["code"]


PASSES = (401, "credentials_invalid")
REFUSED = (403, "cross_site_request")


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        ({}, PASSES),
        ({"Sec_Fetch_Site": "same-origin"}, PASSES),
        ({"Sec_Fetch_Site": "none"}, PASSES),
        ({"Sec_Fetch_Site": "cross-site"}, REFUSED),
        ({"Sec_Fetch_Site": "same-site"}, REFUSED),
        ({"Sec_Fetch_Site": ""}, REFUSED),
        ({"Sec_Fetch_Site": "cross-site", "Origin": EVIL}, REFUSED),
        ({"Sec_Fetch_Site": "cross-site", "Origin": APP}, PASSES),
        ({"Sec_Fetch_Site": "same-site", "Origin": APP}, PASSES),
        ({"Origin": APP}, PASSES),
        ({"Origin": EVIL}, REFUSED),
        ({"Origin": "null"}, REFUSED),
        ({"Origin": "http://["}, REFUSED),
        ({"Origin": "https://chat.example.com"}, PASSES),
        ({"Origin": "http://chat.example.com"}, REFUSED),
        ({"Origin": "https://edge.internal", "Host": "edge.internal"}, PASSES),
        ({"Origin": "https://chat.example.com.evil.example"}, REFUSED),
        ({"Sec_Fetch_Site": "cross-site", "Origin": EVIL, "Authorization": "Bearer a.b.c"}, PASSES),
        ({"Sec_Fetch_Site": "cross-site", "Origin": EVIL, "Authorization": "Basic YWRhOnB3"}, REFUSED),
    ],
)
async def test_only_our_own_pages_and_programs_may_post(
    shop_url: str, headers: dict[str, str], answer: tuple[int, str]
) -> None:
    assert await posted(shop_url, **headers) == answer


async def test_reading_is_left_to_cors(shop_url: str) -> None:
    elsewhere = {"Sec-Fetch-Site": "cross-site", "Origin": EVIL}
    async with (
        aiohttp.ClientSession(shop_url) as http,
        http.get("/.well-known/jwks.json", headers=elsewhere) as response,
    ):
        assert response.status == 200
        assert "Access-Control-Allow-Origin" not in response.headers


HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "WebSocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize("elsewhere", [{"Origin": EVIL}, {"Origin": EVIL, "Sec-Fetch-Site": "cross-site"}])
async def test_another_site_cannot_open_a_websocket_with_somebodys_cookie(
    shop_url: str, elsewhere: dict[str, str]
) -> None:
    cookie = {"Cookie": "session=somebodys"}
    async with (
        aiohttp.ClientSession(shop_url) as http,
        http.get("/api/chat/ws", headers=HANDSHAKE | cookie | elsewhere) as response,
    ):
        refused = await problem(response)

    assert (response.status, refused["code"]) == REFUSED


async def test_what_another_site_sends_changes_nothing(shop_url: str) -> None:
    async with (
        aiohttp.ClientSession(shop_url) as http,
        http.post("/api/auth/signup", json=SIGN_UP, headers={"Origin": EVIL}) as response,
    ):
        assert response.status == 403
        assert "Set-Cookie" not in response.headers
