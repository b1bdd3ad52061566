"""What front ends of other origins may do and read."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from pydantic import ValidationError

from edge.settings import EdgeSettings
from tests.edge.conftest import Start

APP = "https://app.example.com"
ASKS = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "content-type"}


@pytest.fixture(scope="module")
async def shared_url(start_edge: Start, auth: str) -> AsyncIterator[str]:
    """An edge that lets two front ends of other origins call it."""
    async with start_edge(auth_service_url=auth, cors_origins=f"{APP}, http://localhost:5173") as url:
        yield url


@pytest.fixture
async def http(shared_url: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(shared_url) as session:
        yield session


def cors(response: aiohttp.ClientResponse) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith("Access-Control-")}


async def test_a_preflight_names_the_methods_of_the_route_and_lets_cookies_in(http: aiohttp.ClientSession) -> None:
    async with http.options("/api/auth/me", headers={"Origin": APP, **ASKS}) as response:
        await response.read()

    assert response.status == 204
    assert response.headers["Access-Control-Allow-Origin"] == APP
    assert response.headers["Access-Control-Allow-Credentials"] == "true"
    assert response.headers["Access-Control-Allow-Methods"] == response.headers["Allow"]
    assert {"GET", "PATCH", "DELETE"} <= set(response.headers["Allow"].split(", "))
    assert "PUT" not in response.headers["Access-Control-Allow-Methods"]
    allowed = {name.strip().lower() for name in response.headers["Access-Control-Allow-Headers"].split(",")}
    assert {"authorization", "content-type", "idempotency-key", "last-event-id"} <= allowed
    assert int(response.headers["Access-Control-Max-Age"]) > 0
    assert "Origin" in response.headers.getall("Vary")


async def test_a_path_that_is_none_has_no_preflight(http: aiohttp.ClientSession) -> None:
    async with http.options("/api/nowhere", headers={"Origin": APP, **ASKS}) as response:
        await response.read()

    assert response.status == 404
    assert "Access-Control-Allow-Methods" not in response.headers


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "https://app.example.com.evil.example", "http://app.example.com", "null"]
)
async def test_another_origin_gets_no_cors_header_but_caches_are_told(http: aiohttp.ClientSession, origin: str) -> None:
    async with http.options("/api/auth/me", headers={"Origin": origin, **ASKS}) as preflight:
        await preflight.read()
    async with http.get("/api/auth/me", headers={"Origin": origin}) as response:
        await response.read()

    assert cors(preflight) == cors(response) == {}
    assert "Origin" in response.headers.getall("Vary")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/.well-known/jwks.json", 200),
        ("GET", "/api/auth/me", 401),
        ("PUT", "/api/auth/me", 405),
        ("GET", "/api/nowhere", 404),
        ("POST", "/api/auth/signup", 400),
        ("GET", "/api/conversations", 503),
    ],
)
async def test_every_answer_can_be_read_by_an_origin_that_may(
    http: aiohttp.ClientSession, method: str, path: str, status: int
) -> None:
    async with http.request(method, path, headers={"Origin": APP}) as response:
        await response.read()

    assert response.status == status
    assert response.headers["Access-Control-Allow-Origin"] == APP
    assert response.headers["Access-Control-Allow-Credentials"] == "true"
    exposed = response.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"X-Request-Id", "RateLimit-Remaining", "Retry-After", "ETag", "Location"} <= set(exposed)


async def test_without_an_allow_list_nothing_depends_on_the_origin(edge_url: str) -> None:
    async with aiohttp.ClientSession(edge_url) as http, http.get("/", headers={"Origin": APP}) as response:
        await response.read()

    assert cors(response) == {}
    assert "Origin" not in response.headers.getall("Vary", [])


@pytest.mark.parametrize(
    "origins",
    [
        "*",
        "app.example.com",
        "https://app.example.com/",
        "https://app.example.com:443",
        "https://App.example.com",
        "null",
    ],
)
def test_an_origin_that_no_browser_would_send_is_refused_at_the_start(origins: str) -> None:
    with pytest.raises(ValidationError, match="is no origin as browsers send it"):
        EdgeSettings.model_validate({"cors_origins": f"{APP}, {origins}"})
