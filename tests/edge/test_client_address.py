"""Whose address the services hear of, with and without proxies in front."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
import structlog
from pydantic import ValidationError

from edge.settings import EdgeSettings
from tests.edge.conftest import Start
from tests.edge.listener import Listener, listening


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Listener]:
    async with listening() as listener:
        yield listener


@pytest.mark.parametrize(
    ("trusted", "forwarded", "heard"),
    [
        ("", "203.0.113.9", "127.0.0.1"),
        ("10.0.0.0/8", "203.0.113.9", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("127.0.0.1, 10.0.0.0/8", "6.6.6.6, 203.0.113.9, 10.1.2.3", "203.0.113.9"),
        ("127.0.0.1, 10.0.0.0/8", "10.9.9.9, 10.1.2.3", "10.9.9.9"),
        ("127.0.0.1, 10.0.0.0/8", "203.0.113.9, unknown, 10.1.2.3", "10.1.2.3"),
        ("127.0.0.1", "not an address", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.9:51234", "203.0.113.9"),
        ("127.0.0.1", "[2001:db8::7]:443", "2001:db8::7"),
        ("127.0.0.1", "2001:DB8:0::7", "2001:db8::7"),
        ("127.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
        ("127.0.0.1, 2001:db8:1::/48", "203.0.113.9, 2001:db8:1::5", "203.0.113.9"),
    ],
)
async def test_a_service_hears_of_the_nearest_address_that_is_no_trusted_proxys(
    start_edge: Start, service: Listener, trusted: str, forwarded: str, heard: str
) -> None:
    async with (
        start_edge(billing_service_url=service.address, trusted_proxies=trusted) as url,
        aiohttp.ClientSession(url) as http,
        http.get("/api/billing/plans", headers={"X-Forwarded-For": forwarded}) as response,
    ):
        assert response.status == 200

    assert service.heard["x-client-ip"] == heard


async def test_a_proxy_that_is_missing_in_the_list_is_told_of_once(start_edge: Start) -> None:
    with structlog.testing.capture_logs() as logged:
        async with start_edge() as url, aiohttp.ClientSession(url, headers={"X-Forwarded-For": "203.0.113.9"}) as http:
            for _ in range(2):
                async with http.get("/livez") as response:
                    await response.read()

    assert [line["proxy"] for line in logged if "TRUSTED_PROXIES" in line["event"]] == ["127.0.0.1"]


async def test_several_headers_are_one_list(start_edge: Start, service: Listener) -> None:
    forwarded = [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-For", "198.51.100.4")]
    async with (
        start_edge(billing_service_url=service.address, trusted_proxies="127.0.0.1") as url,
        aiohttp.ClientSession(url) as http,
        http.get("/api/billing/plans", headers=forwarded) as response,
    ):
        assert response.status == 200

    assert service.heard["x-client-ip"] == "198.51.100.4"


async def test_nothing_that_is_forwarded_reaches_a_service_as_it_came(start_edge: Start, service: Listener) -> None:
    forged = {
        "Forwarded": "for=6.6.6.6",
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Real-IP": "6.6.6.6",
        "X-Client-IP": "6.6.6.6",
    }
    async with (
        start_edge(billing_service_url=service.address) as url,
        aiohttp.ClientSession(url) as http,
        http.get("/api/billing/plans", headers=forged) as response,
    ):
        assert response.status == 200

    assert service.heard["x-client-ip"] == "127.0.0.1"
    assert not {key for key in service.heard if "forward" in key or key == "x-real-ip"}
    assert "6.6.6.6" not in str(service.heard)


@pytest.mark.parametrize("proxies", ["10.0.0.1/8", "everybody", "10.0.0.0/8;192.0.2.1", "10.0.0.0/33"])
def test_a_list_of_proxies_that_is_wrong_is_refused_at_the_start(proxies: str) -> None:
    with pytest.raises(ValidationError, match=r"addresses or networks such as 10\.0\.0\.0/8 are needed"):
        EdgeSettings.model_validate({"trusted_proxies": proxies})
