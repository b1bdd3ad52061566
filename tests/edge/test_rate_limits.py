"""How much a client may ask for: by user or address, over all edges, with and without Redis."""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from pydantic import ValidationError
from redis.asyncio import Redis

from edge.settings import EdgeSettings
from svckit.ids import new_id
from svckit.local import Engines, Home
from svckit.local.supervised import Supervised
from svckit.local.valkey import start_valkey
from tests import callers
from tests.edge.conftest import Start
from tests.edge.listener import Listener, listening
from tests.edge.test_cross_site import HANDSHAKE
from tests.edge.test_edge import problem
from tests.waiting import PATIENCE

PLANS = "/api/plans"  # open to all
MINE = "/api/conversations"  # for users
STANDING = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")

_addresses = itertools.count(1)


def somebody() -> dict[str, str]:
    """A client that was not here before, behind a proxy that the edges of these tests trust."""
    number = next(_addresses)
    return {"X-Forwarded-For": f"198.18.{number // 256}.{number % 256}"}


def signed_in(user_id: str) -> dict[str, str]:
    """A token that no edge has seen yet."""
    return {"Authorization": dict(callers.signed_in(user_id))["authorization"]}


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Listener]:
    async with listening() as listener:
        yield listener


@pytest.fixture(scope="module")
async def limited(start_edge: Start, auth_address: str, service: Listener) -> AsyncIterator[list[str]]:
    """Two edges on one Redis, where 10 requests a minute are allowed, and 3 of the strict kinds."""
    settings = {
        "auth_service_url": auth_address,
        "billing_service_url": service.address,
        "chat_service_url": service.address,
        "trusted_proxies": "127.0.0.1",
        "cors_origins": "https://app.example.com",
        "rate_limit_per_minute": 10,
        "sign_in_limit_per_minute": 3,
        "mail_limit_per_minute": 3,
    }
    async with start_edge(**settings) as one, start_edge(**settings) as other:
        yield [one, other]


@pytest.fixture
async def http(limited: list[str]) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(limited[0]) as session:
        yield session


async def statuses(
    http: aiohttp.ClientSession, path: str, headers: dict[str, str], *, times: int, method: str = "GET"
) -> list[int]:
    """The statuses of so many requests, one after the other."""
    answers = []
    for _ in range(times):
        async with http.request(method, path, headers=headers) as response:
            await response.read()
            answers.append(response.status)
    return answers


async def test_a_client_is_told_where_it_stands_and_refused_when_it_has_asked_for_too_much(
    http: aiohttp.ClientSession,
) -> None:
    who = somebody()
    async with http.get(PLANS, headers=who) as first:
        await first.read()
    assert await statuses(http, PLANS, who, times=9) == [200] * 9
    async with http.get(PLANS, headers=who) as response:
        refused = await problem(response)

    assert [first.headers[name] for name in STANDING] == ["10", "9", "6"]
    assert (response.status, refused["code"]) == (429, "rate_limited")
    assert [response.headers[name] for name in STANDING][:2] == ["10", "0"]
    assert 1 <= int(response.headers["Retry-After"]) <= 6
    assert 55 <= int(response.headers["RateLimit-Reset"]) <= 60


async def test_all_edges_count_together_and_exactly(limited: list[str]) -> None:
    who = somebody()
    # Some at once, but not so many that a busy machine keeps Redis's answer from being read in time.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit_per_host=4)) as http:

        async def ask(url: str) -> int:
            async with http.get(url + PLANS, headers=who) as response:
                return response.status

        answers = await asyncio.gather(*(ask(url) for url in limited * 15))

    assert sorted(answers) == [200] * 10 + [429] * 20


async def test_what_counts_is_the_address_and_a_whole_network_of_ipv6(http: aiohttp.ClientSession) -> None:
    one, same, other = ({"X-Forwarded-For": f"2001:db8:0:{net}::{host}"} for net, host in [(1, 1), (1, 99), (2, 1)])

    assert await statuses(http, PLANS, one, times=10) == [200] * 10
    assert await statuses(http, PLANS, same, times=1) == [429]
    assert await statuses(http, PLANS, other, times=1) == [200]


async def test_a_user_is_one_client_wherever_and_an_address_is_not_used_up_by_its_users(
    http: aiohttp.ClientSession,
) -> None:
    office, user, colleague = somebody(), new_id(), new_id()

    assert await statuses(http, MINE, office | signed_in(user), times=6) == [200] * 6
    assert await statuses(http, PLANS, somebody() | signed_in(user), times=4) == [200] * 4
    assert await statuses(http, MINE, somebody() | signed_in(user), times=1) == [429]
    assert await statuses(http, MINE, office | signed_in(colleague), times=1) == [200]
    assert await statuses(http, PLANS, office, times=10) == [200] * 10


async def test_strangers_use_up_nothing_of_the_users_at_their_address(http: aiohttp.ClientSession) -> None:
    cafe = somebody()

    assert await statuses(http, PLANS, cafe, times=11) == [200] * 10 + [429]
    assert await statuses(http, MINE, cafe | signed_in(new_id()), times=1) == [200]


@pytest.mark.parametrize("path", ["/api/auth/signin", "/api/auth/forgot-password"])
async def test_guesses_and_mails_have_limits_of_their_own_by_address(http: aiohttp.ClientSession, path: str) -> None:
    who = somebody()
    allowed = await statuses(http, path, who, times=3, method="POST")
    over = await statuses(http, path, who | signed_in(new_id()), times=1, method="POST")

    assert 429 not in allowed
    assert over == [429]
    assert await statuses(http, PLANS, who, times=1) == [200]
    assert await statuses(http, path, somebody(), times=1, method="POST") != [429]


async def test_a_password_that_a_session_must_repeat_is_guessed_no_faster_from_many_addresses(
    http: aiohttp.ClientSession,
) -> None:
    user, path = new_id(), "/api/auth/change-password"
    answers = [await statuses(http, path, somebody() | signed_in(user), times=1, method="POST") for _ in range(4)]

    assert [answer == [429] for answer in answers] == [False, False, False, True]


async def test_bad_credentials_are_not_even_looked_at_when_they_are_too_many(http: aiohttp.ClientSession) -> None:
    who, user = somebody(), signed_in(new_id())
    assert await statuses(http, MINE, who | user, times=1) == [200]

    tried = await statuses(http, MINE, who | {"Authorization": "Bearer a.b.c"}, times=31)

    assert tried == [401] * 30 + [429]
    assert await statuses(http, MINE, who | user, times=1) == [200]
    assert await statuses(http, PLANS, who | {"Authorization": "Bearer a.b.c"}, times=1) == [200]
    assert await statuses(http, MINE, who | signed_in(new_id()), times=1) == [429]


async def test_what_nothing_serves_counts_too(http: aiohttp.ClientSession) -> None:
    assert await statuses(http, "/api/nowhere", somebody(), times=11) == [404] * 10 + [429]


async def test_what_another_site_has_a_browser_send_does_not_count(http: aiohttp.ClientSession) -> None:
    who = somebody()
    forged = who | {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}

    assert await statuses(http, "/api/auth/signin", forged, times=5, method="POST") == [403] * 5
    assert await statuses(http, "/api/auth/signin", who, times=1, method="POST") != [429]


async def test_probes_are_not_limited_and_pages_by_a_limit_of_their_own(http: aiohttp.ClientSession) -> None:
    who = somebody()
    async with http.get("/livez", headers=who) as probe:
        await probe.read()
    async with http.get("/", headers=who) as page:
        await page.read()
    async with http.post("/api/webhooks/stripe", headers=who) as webhook:
        await webhook.read()

    assert "RateLimit-Limit" not in probe.headers
    assert page.headers["RateLimit-Limit"] == "300"
    assert webhook.headers["RateLimit-Limit"] == "6000"


async def test_a_stream_says_where_its_client_stands_and_a_refusal_can_be_read_from_elsewhere(
    http: aiohttp.ClientSession,
) -> None:
    user = somebody() | signed_in(new_id()) | {"Origin": "https://app.example.com"}
    events = user | {"Accept": "text/event-stream", "Content-Type": "application/json"}
    async with http.post("/api/chat", data=b"{}", headers=events) as stream:
        await stream.read()
    await statuses(http, MINE, user, times=9)
    async with http.get(MINE, headers=user) as refused:
        await refused.read()

    assert (stream.status, stream.content_type, refused.status) == (200, "text/event-stream", 429)
    assert [stream.headers[name] for name in STANDING][:2] == ["10", "9"]
    for response in (stream, refused):
        assert response.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
        assert "RateLimit-Remaining" in response.headers["Access-Control-Expose-Headers"]


async def test_a_websocket_handshake_counts_and_carries_what_every_answer_does(http: aiohttp.ClientSession) -> None:
    user = somebody() | signed_in(new_id()) | {"Origin": "https://app.example.com"}
    async with http.get("/api/chat/ws", headers=HANDSHAKE | user) as handshake:
        pass
    await statuses(http, MINE, user, times=9)
    async with http.get("/api/chat/ws", headers=HANDSHAKE | user) as refused:
        await refused.read()

    assert (handshake.status, refused.status) == (101, 429)
    assert [handshake.headers[name] for name in STANDING][:2] == ["10", "9"]
    assert handshake.headers["X-Content-Type-Options"] == "nosniff"
    assert refused.headers["Access-Control-Allow-Origin"] == "https://app.example.com"


async def test_a_redis_that_has_forgotten_the_script_is_told_it_again(
    http: aiohttp.ClientSession, engines: Engines
) -> None:
    who = somebody()
    assert await statuses(http, PLANS, who, times=5) == [200] * 5
    async with Redis.from_url(engines.redis_url) as redis:
        await redis.script_flush()

    assert await statuses(http, PLANS, who, times=6) == [200] * 5 + [429]
    assert await counts_alone(http) == 0


async def test_a_connection_that_redis_has_ended_is_made_anew(start_edge: Start, valkey: Supervised) -> None:
    settings = {"redis_url": valkey.url, "trusted_proxies": "127.0.0.1", "rate_limit_per_minute": 10}
    who = somebody()
    async with start_edge(**settings) as url, aiohttp.ClientSession(url) as http:
        before = await statuses(http, "/api/nowhere", who, times=5)
        async with Redis.from_url(valkey.url) as redis:
            await redis.client_kill_filter(_type="normal", skipme=True)
        after = await statuses(http, "/api/nowhere", who, times=6)

    assert before + after == [404] * 10 + [429]


async def counts_alone(http: aiohttp.ClientSession) -> float:
    """What the metric says of it: 1 while an edge counts by itself."""
    async with http.get("/metrics") as response:
        found = re.search(r"^edge_rate_limit_local (\S+)$", await response.text(), re.MULTILINE)
    assert found
    return float(found[1])


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[Supervised]:
    """A Valkey that may be killed."""
    async with Home.opened(tmp_path) as home:
        started = await start_valkey(home, durable=False)
        yield started
        await started.stop()


async def test_an_edge_counts_alone_while_redis_is_away_and_with_the_others_when_it_is_back(
    start_edge: Start, valkey: Supervised
) -> None:
    settings = {"redis_url": valkey.url, "trusted_proxies": "127.0.0.1", "rate_limit_per_minute": 10}
    before, during, after = somebody(), somebody(), somebody()
    async with (
        start_edge(**settings) as url,
        start_edge(**settings) as other_url,
        aiohttp.ClientSession(url) as http,
        aiohttp.ClientSession(other_url) as other,
    ):
        assert await statuses(http, "/api/nowhere", before, times=11) == [404] * 10 + [429]
        await valkey.kill()
        alone = await statuses(http, "/api/nowhere", during, times=11)
        assert await counts_alone(http) == 1
        assert await statuses(other, "/api/nowhere", during, times=11) == [404] * 10 + [429]

        await valkey.start()
        await until_shared(http, valkey)
        await until_shared(other, valkey)
        assert await counts_alone(http) == 0
        together = await statuses(http, "/api/nowhere", after, times=6) + await statuses(
            other, "/api/nowhere", after, times=6
        )

    assert alone == [404] * 10 + [429]
    assert together == [404] * 10 + [429] * 2


async def until_shared(http: aiohttp.ClientSession, valkey: Supervised) -> None:
    """Wait until what this edge counts is in Redis."""
    who = somebody()
    async with asyncio.timeout(PATIENCE), Redis.from_url(valkey.url) as redis:
        while not await redis.exists(f"edge:rate:general:address:{who['X-Forwarded-For']}"):
            await statuses(http, "/api/nowhere", who, times=1)
            await asyncio.sleep(0.05)


async def test_a_redis_that_accepts_and_says_nothing_does_not_keep_requests_waiting(start_edge: Start) -> None:
    silent = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    settings = {"redis_url": f"redis://127.0.0.1:{port}/0", "rate_limit_per_minute": 100}
    async with start_edge(**settings) as url, aiohttp.ClientSession(url) as http:
        # At half a second each they would take a minute.
        async with asyncio.timeout(10):
            answers = await statuses(http, "/api/nowhere", {}, times=120)
        alone = await counts_alone(http)
    silent.close()

    assert 429 in answers
    assert set(answers) == {404, 429}
    assert alone == 1


async def test_limits_can_be_switched_off(start_edge: Start) -> None:
    async with (
        start_edge(rate_limit_per_minute=0) as url,
        aiohttp.ClientSession(url) as http,
        http.post("/api/auth/signin") as response,
    ):
        await response.read()

    assert response.status != 429
    assert "RateLimit-Limit" not in response.headers


@pytest.mark.parametrize("name", ["rate_limit_per_minute", "sign_in_limit_per_minute", "mail_limit_per_minute"])
def test_a_limit_that_is_none_is_refused_at_the_start(name: str) -> None:
    with pytest.raises(ValidationError, match="greater than or equal to"):
        EdgeSettings.model_validate({name: -1})
