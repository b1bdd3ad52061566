"""What the edge says to front ends, beyond what the transcoder's own tests show."""

import io
import re
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict

import auth_svc.app
from auth_svc.settings import AuthSettings
from tests.edge.conftest import Start
from tests.waiting import until

SIGN_UP = {"email": "ada@example.com", "password": "correct horse battery"}


async def problem(response: aiohttp.ClientResponse) -> dict[str, Any]:
    assert response.content_type == "application/problem+json"
    document: dict[str, Any] = await response.json(content_type=None)
    assert document["status"] == response.status
    assert document["requestId"] == response.headers["X-Request-Id"]
    return document


async def test_the_root_names_the_product_and_its_pages(http: aiohttp.ClientSession) -> None:
    async with http.get("/") as response:
        index = await response.json()

    assert index["name"] == "chatmesh"
    for link in index["links"].values():
        async with http.get(link) as page:
            assert page.status in (200, 503)


async def test_health_names_every_service_and_those_that_are_away(http: aiohttp.ClientSession) -> None:
    async with http.get("/health") as response:
        health = await response.json()

    assert response.status == 503
    assert {name: state["status"] for name, state in health["services"].items()} == {
        "auth": "up",
        "chat": "down",
        "billing": "down",
        "analytics": "down",
    }


async def test_a_service_that_is_away_is_a_503_and_comes_back_by_itself(
    start_edge: Start, auth: str, auth_settings: AuthSettings
) -> None:
    # Another replica of auth that is stopped and started again on the same port, behind an edge of its own.
    async with auth_svc.app.serving(auth_settings.model_copy(update={"listen": "127.0.0.1:0"})) as first:
        address = first.address
    async with start_edge(auth_service_url=address) as url, aiohttp.ClientSession(url) as http:
        async with http.post("/api/auth/signup", json=SIGN_UP) as response:
            assert response.status == 503
            assert (await problem(response))["code"] == "unavailable"

        async def answered() -> int | None:
            async with http.post("/api/auth/signup", json=SIGN_UP) as response:
                return response.status if response.status != 503 else None

        async with auth_svc.app.serving(auth_settings.model_copy(update={"listen": address})):
            assert await until(answered) == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"email": 7, "password": "correct horse battery"}, "email"),
        ({**SIGN_UP, "role": "admin"}, "role"),
        ({"email": "ada@example.com", "password": "short"}, "password"),
        ({"email": "nobody", "password": "correct horse battery"}, "email"),
    ],
)
async def test_bad_input_is_refused_with_the_field_named(
    http: aiohttp.ClientSession, body: dict[str, object], field: str
) -> None:
    async with http.post("/api/auth/signup", json=body) as response:
        refused = await problem(response)

    assert response.status == 400
    assert [error["field"] for error in refused["errors"]] == [field]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"email": "a@b.example"} x', b"null", b'"text"'])
async def test_a_body_that_is_no_message_is_refused(http: aiohttp.ClientSession, body: bytes) -> None:
    async with http.post("/api/auth/signup", data=body, headers={"Content-Type": "application/json"}) as response:
        await problem(response)

    assert response.status == 400


async def test_a_body_of_20_megabytes_is_refused_with_the_limit(http: aiohttp.ClientSession) -> None:
    async with http.post("/api/auth/signup", data=io.BytesIO(b" " * (20 << 20))) as response:
        refused = await problem(response)

    assert (response.status, refused["code"]) == (413, "body_too_large")


async def test_a_cookie_that_is_no_session_is_refused_where_one_is_asked_for(http: aiohttp.ClientSession) -> None:
    async with http.get("/api/auth/me", headers={"Cookie": "session=made-up"}) as response:
        await problem(response)

    assert response.status == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_stale_cookie_does_not_keep_anybody_from_signing_up(http: aiohttp.ClientSession) -> None:
    async with http.post("/api/auth/signup", json=SIGN_UP, headers={"Cookie": "session=made-up"}) as response:
        assert response.ok


async def test_a_cookie_that_nobody_can_check_does_not_close_what_is_open_to_all(start_edge: Start) -> None:
    async with start_edge() as url, aiohttp.ClientSession(url) as http:
        async with http.post("/api/auth/signup", data=b"{", headers={"Cookie": "session=x"}) as response:
            assert (await problem(response))["code"] == "malformed_json"
        async with http.get("/api/auth/me", headers={"Cookie": "session=x"}) as response:
            assert response.status == 503


@pytest.mark.parametrize("header", ["Bearer a.b.c", "Bearer nonsense", "Basic YWRhOnB3", "Bearer"])
async def test_an_authorization_that_proves_nothing_is_refused(http: aiohttp.ClientSession, header: str) -> None:
    async with http.get("/api/auth/me", headers={"Authorization": header}) as response:
        await problem(response)

    assert response.status == 401


async def test_identity_headers_from_outside_count_for_nothing(http: aiohttp.ClientSession) -> None:
    forged = {"X-Service-Authorization": "Bearer edge", "X-User-Id": "1", "X-Client-Ip": "10.0.0.1"}
    async with http.get("/api/auth/me", headers=forged) as response:
        assert response.status == 401


async def test_an_rpc_that_its_server_does_not_know_yet_is_a_501(start_edge: Start, auth: str) -> None:
    async with (
        start_edge(billing_service_url=auth) as url,
        aiohttp.ClientSession(url) as http,
        http.get("/api/plans") as response,
    ):
        refused = await problem(response)

    assert (response.status, refused["code"]) == (501, "unimplemented")


async def test_an_openid_provider_may_send_more_than_is_known_here(http: aiohttp.ClientSession) -> None:
    # RFC 6749, section 4.1.2: a client must ignore response parameters that it does not know.
    async with http.get("/api/auth/oidc/nobody/callback?state=s&code=c&session_state=1&hd=example.com") as response:
        refused = await problem(response)

    assert (response.status, refused["code"]) == (400, "oidc_state_invalid")


async def test_a_wrong_method_says_which_are_right(http: aiohttp.ClientSession) -> None:
    async with http.put("/api/auth/me") as response:
        await problem(response)
    async with http.options("/api/auth/me") as options:
        await options.read()

    assert response.status == 405
    assert response.headers["Allow"] == options.headers["Allow"]
    assert options.status == 204


async def test_a_request_id_is_kept_if_it_is_well_formed_and_made_if_not(http: aiohttp.ClientSession) -> None:
    async with http.get("/api/auth/me", headers={"X-Request-Id": "abc-123"}) as kept:
        await kept.read()
    async with http.get("/api/auth/me", headers={"X-Request-Id": "two words"}) as made:
        await made.read()

    assert kept.headers["X-Request-Id"] == "abc-123"
    assert re.fullmatch(r"[0-9a-f]{32}", made.headers["X-Request-Id"])


async def test_requests_are_measured_by_route_never_by_path(http: aiohttp.ClientSession) -> None:
    async with http.get("/api/conversations/8a5e1f0c-3c3b-4a55-9f43-0d2f8f6d8f3e") as response:
        await response.read()
    async with http.get("/metrics") as metrics:
        text = await metrics.text()

    assert 'http_route="/api/conversations/{conversation_id}"' in text
    assert 'rpc_method="chatmesh.chat.v1.ChatService/GetConversation",rpc_response_status_code="UNAVAILABLE"' in text
    assert "8a5e1f0c" not in text


async def test_every_accept_header_counts(http: aiohttp.ClientSession) -> None:
    asked = CIMultiDict(
        [("Accept", "text/html"), ("Accept", "text/event-stream"), ("Content-Type", "application/json")]
    )
    async with http.post("/api/chat", json={"message": "hi"}, headers=asked) as response:
        refused = await problem(response)

    # It got as far as the chat service, which is away here; the first header alone would be a 406.
    assert (response.status, refused["code"]) == (503, "unavailable")


@pytest.mark.parametrize(("name", "value"), [("Grpc-Timeout", "1_0S"), ("Idempotency-Key", "caf\u00e9")])
async def test_a_header_that_no_service_could_read_is_refused_by_name(
    http: aiohttp.ClientSession, name: str, value: str
) -> None:
    async with http.post("/api/auth/signup", json=SIGN_UP, headers={name: value}) as response:
        refused = await problem(response)

    assert (response.status, refused["code"]) == (400, "invalid_header")
    assert [error["field"] for error in refused["errors"]] == [name]


async def test_a_webhook_without_a_signature_is_refused(http: aiohttp.ClientSession) -> None:
    async with http.post("/api/webhooks/stripe", json={}) as response:
        refused = await problem(response)

    assert (response.status, refused["code"]) == (400, "signature_invalid")


async def test_the_key_set_is_served_in_the_standard_form(http: aiohttp.ClientSession) -> None:
    async with http.get("/.well-known/jwks.json") as response:
        keys = (await response.json())["keys"]

    assert keys
    assert {key["kty"] for key in keys} == {"OKP"}
    assert {key["crv"] for key in keys} == {"Ed25519"}


async def test_a_channel_that_leads_nowhere_is_said_without_its_address(start_edge: Start) -> None:
    async with (
        start_edge() as url,
        aiohttp.ClientSession(url) as http,
        http.get("/api/auth/me", headers={"Cookie": "session=made-up"}) as response,
    ):
        refused = await problem(response)

    assert response.status == 503
    assert refused["detail"] == "a service is not available, try again"
