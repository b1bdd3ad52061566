"""Providers that lie, break, or are away; and those who try to pass for one."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from joserfc.jwk import RSAKey

from auth_svc.clock import now
from auth_svc.oidc import wire
from auth_svc.oidc.configured import Configured
from auth_svc.oidc.provider import Provider, Redeemable
from svckit.errors import Unauthenticated, Unavailable
from svckit.ids import new_id
from svckit.local.ports import free_port
from tests.auth_svc.conftest import Auth, Start
from tests.auth_svc.inbox import LOOPBACK
from tests.auth_svc.openid import LyingProvider, Traveller, lying_provider, session_in
from tests.auth_svc.person import new_address
from tests.callers import refusal

CLIENT = {"client_id": "chatmesh", "client_secret": "ça&là"}
STRANGER = RSAKey.generate_key(2048, parameters={"kid": "first"})


@pytest.fixture(scope="module")
async def one_provider() -> AsyncIterator[LyingProvider]:
    async with lying_provider() as started:
        yield started


@pytest.fixture
def lying(one_provider: LyingProvider) -> LyingProvider:
    one_provider.tell_the_truth()
    return one_provider


@pytest.fixture(scope="module")
async def auth(
    start: Start, one_provider: LyingProvider, new_database: Callable[[], Awaitable[str]]
) -> AsyncIterator[Auth]:
    away = f"http://{LOOPBACK}:{free_port()}"
    names = {"lying": one_provider.url, "down": away}
    providers = [{"name": name, "issuer": issuer, **CLIENT} for name, issuer in names.items()]
    async with start(oidc_providers=json.dumps(providers), database_url=await new_database()) as started:
        yield started


@pytest.fixture
def fresh(
    start: Start, one_provider: LyingProvider, new_database: Callable[[], Awaitable[str]]
) -> Callable[[], Awaitable[Any]]:
    """Start a service that has never asked the provider anything."""

    async def make() -> Any:
        providers = [{"name": "lying", "issuer": one_provider.url, "client_id": "chatmesh"}]
        return start(oidc_providers=json.dumps(providers), database_url=await new_database())

    return make


@pytest.fixture
async def traveller(auth: Auth, lying: LyingProvider) -> Traveller:
    """At the provider already."""
    made = Traveller(auth, "lying")
    await made.leave()
    lying.sign(made.sent["nonce"], email=new_address(), sub=new_id())
    return made


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def brought(traveller: Traveller, **more: str) -> dict[str, str]:
    return {"state": traveller.sent["state"], "code": "a code", **more}


async def test_what_an_honest_provider_says_signs_in(traveller: Traveller) -> None:
    assert session_in(await traveller.come_back(brought(traveller)))


async def test_the_code_is_redeemed_with_the_verifier_of_the_challenge(
    traveller: Traveller, lying: LyingProvider
) -> None:
    await traveller.come_back(brought(traveller))

    asked = lying.asked[-1]
    hashed = hashlib.sha256(asked["code_verifier"].encode()).digest()
    assert _base64url(hashed) == traveller.sent["code_challenge"]
    assert (asked["grant_type"], asked["code"]) == ("authorization_code", "a code")
    assert asked["redirect_uri"] == traveller.sent["redirect_uri"]
    assert "client_secret" not in asked


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param({"nonce": "another sign-in's"}, id="nonce"),
        pytest.param({"nonce": None}, id="no nonce"),
        pytest.param({"iss": "https://accounts.google.com"}, id="issuer"),
        pytest.param({"aud": "somebody else"}, id="audience"),
        pytest.param({"aud": ["chatmesh", "somebody else"]}, id="audiences"),
        pytest.param({"azp": "somebody else"}, id="authorized party"),
        pytest.param({"exp": int(time.time()) - 120}, id="expired"),
        pytest.param({"exp": None}, id="no end"),
        pytest.param({"iat": int(time.time()) + 3600}, id="from the future"),
        pytest.param({"sub": None}, id="no subject"),
        pytest.param({"sub": ""}, id="empty subject"),
        pytest.param({"sub": 7}, id="subject of another type"),
        pytest.param({"sub": "nul\0"}, id="subject that cannot be kept"),
        pytest.param({"key": STRANGER}, id="another's signature"),
        pytest.param({"header": {"kid": "unknown"}, "key": STRANGER}, id="unknown key"),
        pytest.param({"header": {"jwk": STRANGER.as_dict(private=False)}, "key": STRANGER}, id="key in the header"),
    ],
)
async def test_a_token_that_lies_signs_nobody_in(
    traveller: Traveller, lying: LyingProvider, lie: dict[str, Any]
) -> None:
    lying.sign(traveller.sent["nonce"], **lie)

    assert await traveller.sent_back(brought(traveller)) == "oidc_token_invalid"


async def test_neither_the_public_key_nor_our_secret_signs_as_an_hmac(
    traveller: Traveller, lying: LyingProvider
) -> None:
    """Algorithm confusion, although the provider says that it signs with HS256 as well."""
    header, payload = _base64url(b'{"alg":"HS256","kid":"first"}'), lying.token.split(".")[1]
    modulus = lying.key.as_dict(private=False)["n"]
    for secret in (lying.key.as_pem(private=False), str(modulus).encode(), CLIENT["client_secret"].encode()):
        signature = hmac.digest(secret, f"{header}.{payload}".encode(), "sha256")
        lying.token = f"{header}.{payload}.{_base64url(signature)}"

        assert await traveller.sent_back(brought(traveller)) == "oidc_token_invalid"


@pytest.mark.parametrize("token", ["", "x", "..", "e30.e30.", "\u00e9.\u00e9.\u00e9"])
async def test_what_is_no_token_signs_nobody_in(traveller: Traveller, lying: LyingProvider, token: str) -> None:
    lying.token = token

    assert await traveller.sent_back(brought(traveller)) == "oidc_token_invalid"


async def test_an_unsigned_token_signs_nobody_in(traveller: Traveller, lying: LyingProvider) -> None:
    _, payload, _ = lying.token.split(".")
    header = _base64url(b'{"alg":"none","kid":"first"}')
    lying.token = f"{header}.{payload}."

    assert await traveller.sent_back(brought(traveller)) == "oidc_token_invalid"


@pytest.mark.parametrize("verified", [False, "true", 1, None])
async def test_only_true_means_that_an_address_is_verified(
    traveller: Traveller, lying: LyingProvider, verified: object
) -> None:
    lying.sign(traveller.sent["nonce"], email=new_address(), sub=new_id(), email_verified=verified)

    assert await traveller.sent_back(brought(traveller)) == "oidc_email_not_verified"


@pytest.mark.parametrize("iss", ["https://evil.example", "http://127.0.0.1"])
async def test_an_answer_of_another_provider_is_refused(traveller: Traveller, lying: LyingProvider, iss: str) -> None:
    asked = len(lying.asked)

    assert await traveller.sent_back(brought(traveller, iss=iss)) == "oidc_state_invalid"
    assert len(lying.asked) == asked


async def test_an_answer_to_one_provider_is_not_taken_for_anothers(auth: Auth, traveller: Traveller) -> None:
    other = Traveller(auth, "down", traveller.url, traveller.cookie)

    assert (await refusal(other.come_back(brought(traveller)))).reason == "OIDC_STATE_INVALID"


async def test_a_provider_that_promises_to_say_who_it_is_must_do_so(
    fresh: Callable[[], Awaitable[Any]], lying: LyingProvider
) -> None:
    lying.metadata = {"authorization_response_iss_parameter_supported": True}
    async with await fresh() as auth:
        traveller = Traveller(auth, "lying")
        await traveller.leave()
        lying.sign(traveller.sent["nonce"], email=new_address(), sub=new_id())

        assert await traveller.sent_back(brought(traveller)) == "oidc_state_invalid"
        assert session_in(await traveller.come_back(brought(traveller, iss=lying.url)))


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"issuer": "https://evil.example"}, id="another issuer"),
        pytest.param({"token_endpoint": None}, id="no token end point"),
        pytest.param({"id_token_signing_alg_values_supported": []}, id="no algorithm"),
        pytest.param({"jwks_uri": "nowhere"}, id="no place"),
    ],
)
async def test_a_description_that_cannot_be_true_is_not_believed(
    fresh: Callable[[], Awaitable[Any]], lying: LyingProvider, metadata: dict[str, Any]
) -> None:
    lying.metadata = metadata
    async with await fresh() as auth:
        error = await refusal(Traveller(auth, "lying").leave())

    assert (type(error), error.reason) == (Unavailable, "OIDC_PROVIDER_UNAVAILABLE")


async def test_the_description_is_fetched_once(fresh: Callable[[], Awaitable[Any]], lying: LyingProvider) -> None:
    fetched = lying.fetched
    async with await fresh() as auth:
        traveller = Traveller(auth, "lying")
        await traveller.leave()
        await traveller.leave()
        lying.sign(traveller.sent["nonce"], email=new_address(), sub=new_id())
        await traveller.come_back(brought(traveller))

    assert lying.fetched == fetched + 1


async def test_new_keys_are_seen_with_their_first_token_but_nobody_makes_us_ask_all_the_time(
    lying: LyingProvider,
) -> None:
    seconds, second = [0.0], RSAKey.generate_key(2048, parameters={"kid": "second"})
    configured = Configured.model_validate({"name": "lying", "issuer": lying.url, **CLIENT})
    async with wire.opened() as opened:
        provider = Provider(
            configured, wire=opened, public_url="https://chat.example", clock=now, monotonic=lambda: seconds[0]
        )
        await provider.authorization_url(state="s", nonce="n", challenge="c")
        fetched = lying.fetched
        lying.sign("n", header={"kid": "second"}, key=second)
        lying.published.append(dict(second.as_dict(private=False)))

        for _ in range(3):
            with pytest.raises(Unauthenticated):
                await provider.redeem(Redeemable("a code", "v", "n"))
        assert lying.fetched == fetched
        seconds[0] = 11.0
        profile = await provider.redeem(Redeemable("a code", "v", "n"))

    assert profile.subject == "somebody"
    assert lying.fetched == fetched + 1


async def test_what_is_known_of_a_provider_counts_on_while_it_is_away(lying: LyingProvider) -> None:
    seconds = [0.0]
    configured = Configured.model_validate({"name": "lying", "issuer": lying.url, **CLIENT})
    async with wire.opened() as opened:
        provider = Provider(
            configured, wire=opened, public_url="https://chat.example", clock=now, monotonic=lambda: seconds[0]
        )
        first = await provider.authorization_url(state="s", nonce="n", challenge="c")
        lying.metadata = {"issuer": "out of its mind"}
        seconds[0] = 3601.0

        assert await provider.authorization_url(state="s", nonce="n", challenge="c") == first


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, {}), (503, {"error": "busy"}), (401, {"error": "invalid_client"}), (302, {}), (200, {"id_token": 7})],
)
async def test_a_provider_that_breaks_is_unavailable(
    traveller: Traveller, lying: LyingProvider, status: int, body: dict[str, Any]
) -> None:
    lying.status, lying.body = status, body

    assert await traveller.sent_back(brought(traveller)) == "oidc_provider_unavailable"


async def test_a_provider_that_says_too_much_is_unavailable(traveller: Traveller, lying: LyingProvider) -> None:
    lying.body = {"id_token": lying.token, "padding": "x" * 300_000}

    assert await traveller.sent_back(brought(traveller)) == "oidc_provider_unavailable"


async def test_a_provider_that_is_away_is_unavailable_and_nothing_else_is(auth: Auth) -> None:
    error = await refusal(Traveller(auth, "down").leave())

    assert (type(error), error.reason) == (Unavailable, "OIDC_PROVIDER_UNAVAILABLE")
    assert await auth.person().register()


async def test_nobody_waits_for_a_provider_that_never_answers(lying: LyingProvider) -> None:
    async with wire.opened(aiohttp.ClientTimeout(total=0.1)) as opened:
        with pytest.raises(Unavailable):
            await opened.get(f"{lying.url}/never")
