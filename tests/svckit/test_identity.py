import asyncio
import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from chatmesh.auth.v1 import auth_pb2, auth_pb2_grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt
from joserfc.jwk import OctKey

from svckit import clients
from svckit.errors import Unauthenticated, Unavailable
from svckit.identity import (
    Claims,
    RemoteKeys,
    Role,
    ServiceCredential,
    SigningKey,
    TokenVerifier,
    keys_of,
    mint,
)
from svckit.server import Service
from tests.svckit.probe import KEY, claims, fetch_keys, serving, verifier

SECRET = "a secret of the tests, long enough"


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def forge(header: dict[str, Any], payload: dict[str, Any], *, key: SigningKey = KEY) -> str:
    """A well-signed EdDSA token with any header and claims."""
    header = {"alg": "EdDSA", "typ": "at+jwt", "kid": key.kid, **header}
    signed = f"{part(header)}.{part(payload)}"
    private = key.key.get_op_key("sign")
    assert isinstance(private, Ed25519PrivateKey)
    signature = private.sign(signed.encode())
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def payload(**changes: Any) -> dict[str, Any]:
    now = int(datetime.now(UTC).timestamp())
    good = {"iss": "chatmesh", "aud": "chatmesh", "sub": "u", "sid": "s", "role": "user", "jti": "j"}
    return {
        key: value for key, value in (good | {"iat": now, "exp": now + 86_400} | changes).items() if value is not None
    }


async def refusal(token: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await verifier().verify(token)
    return caught.value.reason


async def test_what_was_minted_is_what_is_read() -> None:
    said = Claims("user", "session", Role.ANALYST, "token", datetime(2100, 1, 1, tzinfo=UTC))

    assert await verifier().verify(mint(said, KEY)) == said


async def test_an_expired_token_is_told_apart_and_clocks_may_differ_a_little() -> None:
    now = datetime.now(UTC)

    assert await refusal(mint(claims(expires_in=timedelta(seconds=-61)), KEY)) == "TOKEN_EXPIRED"
    assert await verifier().verify(mint(claims(expires_in=timedelta(seconds=-50)), KEY))
    assert await verifier().verify(mint(claims(), KEY, now=now + timedelta(seconds=60)))
    assert await refusal(mint(claims(), KEY, now=now + timedelta(seconds=70))) == "TOKEN_INVALID"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        "é.é.é",
        forge({"typ": "JWT"}, payload()),
        forge({"typ": "svc+jwt"}, payload()),
        forge({"kid": "unknown"}, payload()),
        forge({"kid": "../../../../dev/null"}, payload()),
        forge({"kid": "x' UNION SELECT 'key"}, payload()),
        forge({"kid": "https://example.com/keys"}, payload()),
        forge({"kid": "k" * 10_000}, payload()),
        forge({"crit": ["exp"]}, payload()),
        forge({"typ": "at+jwt\0"}, payload()),
        forge({"typ": ["at+jwt"]}, payload()),
        forge({}, payload(), key=SigningKey.generate(KEY.kid)),
        *(forge({}, payload(**{claim: None})) for claim in ("iss", "aud", "sub", "sid", "role", "iat", "exp", "jti")),
        forge({}, payload(iss="elsewhere")),
        forge({}, payload(aud="elsewhere")),
        forge({}, payload(aud=["elsewhere"])),
        forge({}, payload(nbf=int(datetime.now(UTC).timestamp()) + 86_400)),
        forge({}, payload(role="root")),
        forge({}, payload(iat=int(datetime.now(UTC).timestamp()) + 86_400)),
        forge({}, payload(exp="tomorrow")),
    ],
)
async def test_a_token_that_is_wrong_in_any_way_is_refused(token: str) -> None:
    assert await refusal(token) == "TOKEN_INVALID"


async def test_a_token_signed_with_the_public_key_as_a_shared_secret_is_refused() -> None:
    """The classic confusion of algorithms: what verifies EdDSA must never be tried as an HMAC key."""
    secret = OctKey.import_key(KEY.x)
    token = jwt.encode({"alg": "HS256", "typ": "at+jwt", "kid": KEY.kid}, payload(), secret, algorithms=["HS256"])

    assert await refusal(token) == "TOKEN_INVALID"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", "HS256", "ES256", "eddsa", None, ["EdDSA"]])
@pytest.mark.parametrize("signature", ["", "AA"])
async def test_a_token_that_names_another_algorithm_is_refused(algorithm: object, signature: str) -> None:
    header = {"alg": algorithm, "typ": "at+jwt", "kid": KEY.kid}

    assert await refusal(f"{part(header)}.{part(payload())}.{signature}") == "TOKEN_INVALID"


@pytest.mark.parametrize("kid", [None, 7, ["a"], {"a": "b"}, ""])
async def test_a_key_id_that_is_none_is_refused(kid: object) -> None:
    assert (
        await refusal(f"{part({'alg': 'EdDSA', 'typ': 'at+jwt', 'kid': kid})}.{part(payload())}.AA") == "TOKEN_INVALID"
    )


async def test_a_signature_counts_for_what_was_signed_only() -> None:
    header, _, signature = forge({}, payload()).split(".")
    another = forge({}, payload(role="admin")).split(".")[1]

    assert await refusal(f"{header}.{another}.{signature}") == "TOKEN_INVALID"
    assert await refusal(f"{header}.{another}.") == "TOKEN_INVALID"


async def test_a_key_that_a_token_brings_along_is_never_used() -> None:
    stranger = SigningKey.generate(KEY.kid)
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": stranger.x}
    for header in ({"jwk": jwk}, {"jku": "https://example.com/keys"}, {"x5u": "https://example.com/cert"}):
        assert await refusal(forge(header, payload(), key=stranger)) == "TOKEN_INVALID"


class Ended(set[str]):
    """Ended sessions, by hand."""

    def contains(self, session_id: str) -> bool:
        return session_id in self


async def test_an_ended_session_is_refused_even_with_a_token_that_was_good_before() -> None:
    ended = Ended()
    strict = TokenVerifier(keys=RemoteKeys(fetch_keys), revocations=ended)
    token = forge({}, payload(sid="s"))
    await strict.verify(token)
    ended.add("s")

    with pytest.raises(Unauthenticated) as caught:
        await strict.verify(token)
    assert caught.value.reason == "SESSION_REVOKED"
    assert await strict.verify(forge({}, payload(sid="another")))


class Published:
    """Keys as another process would publish them; counts how often they are asked for."""

    def __init__(self, *keys: SigningKey) -> None:
        self.keys = keys
        self.fetched = 0
        self.away = False

    async def fetch(self) -> Sequence[tuple[str, str]]:
        self.fetched += 1
        if self.away:
            raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata())
        return [(key.kid, key.x) for key in self.keys]


async def test_keys_are_fetched_once_and_kept() -> None:
    keys = RemoteKeys((published := Published(KEY)).fetch)
    for _ in range(3):
        await keys.key(KEY.kid)

    assert published.fetched == 1


async def test_unknown_key_ids_do_not_make_a_flood_of_fetches() -> None:
    keys = RemoteKeys((published := Published(KEY)).fetch)
    await keys.key(KEY.kid)
    for n in range(50):
        with pytest.raises(Unauthenticated):
            await keys.key(f"unknown-{n}")

    assert published.fetched == 1


async def test_a_new_key_is_found_with_its_first_token_and_a_withdrawn_one_forgotten() -> None:
    clock = Clock()
    keys = RemoteKeys((published := Published(KEY)).fetch, clock=clock)
    await keys.key(KEY.kid)
    published.keys = (new := SigningKey.generate("new"),)
    clock.now += 1.1

    assert await keys.key("new")
    with pytest.raises(Unauthenticated):
        await keys.key(KEY.kid)
    assert new.x == (await keys.key("new")).as_dict(private=False)["x"]


async def test_while_the_keys_cannot_be_fetched_the_known_ones_count() -> None:
    clock = Clock()
    keys = RemoteKeys((published := Published(KEY)).fetch, clock=clock)
    await keys.key(KEY.kid)
    published.away = True
    clock.now += 301

    assert await keys.key(KEY.kid)
    with pytest.raises(Unavailable):
        await keys.key("another")


async def test_a_fetch_that_takes_long_and_fails_is_not_made_again_by_each_that_waited_for_it() -> None:
    clock = Clock()
    published = Published(KEY)

    async def slowly() -> Sequence[tuple[str, str]]:
        await asyncio.sleep(0)
        if published.away:
            clock.now += 2
        return await published.fetch()

    keys = RemoteKeys(slowly, clock=clock)
    await keys.key(KEY.kid)
    published.away = True
    clock.now += 301
    await asyncio.gather(*(keys.key(KEY.kid) for _ in range(20)))

    assert published.fetched == 2


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_keys_come_from_auths_list_of_signing_keys() -> None:
    class Auth(auth_pb2_grpc.AuthServiceServicer):
        async def ListSigningKeys(self, request: Any, context: Any) -> Any:
            return auth_pb2.ListSigningKeysResponse(
                keys=[
                    auth_pb2.SigningKey(kid=KEY.kid, x=KEY.x, kty="OKP", crv="Ed25519", alg="EdDSA"),
                    auth_pb2.SigningKey(kid="rsa", alg="RS256"),
                ]
            )

    descriptor = auth_pb2.DESCRIPTOR.services_by_name["AuthService"]
    service = Service(descriptor, auth_pb2_grpc.add_AuthServiceServicer_to_server, Auth())
    async with (
        serving(None, services=[service]) as started,
        clients.channel(started.address, services=[descriptor]) as channel,
    ):
        remote = TokenVerifier(keys=RemoteKeys(keys_of(channel)))

        assert (await remote.verify(forge({}, payload()))).user_id == "u"


def test_services_of_one_mesh_know_each_other() -> None:
    assert ServiceCredential("billing", SECRET).verify(ServiceCredential("chat", SECRET).token()) == "chat"


def test_a_service_token_is_made_once_a_minute() -> None:
    credential = ServiceCredential("chat", SECRET)

    assert credential.token() is credential.token()


@pytest.mark.parametrize(
    "token",
    [
        "",
        ServiceCredential("chat", "another secret, which is long enough").token(),
        forge({"typ": "svc+jwt"}, payload()),
        jwt.encode({"alg": "HS256", "typ": "at+jwt"}, payload(), OctKey.import_key(SECRET), algorithms=["HS256"]),
        jwt.encode({"alg": "HS256", "typ": "svc+jwt"}, payload(exp=1), OctKey.import_key(SECRET), algorithms=["HS256"]),
    ],
)
def test_a_strange_service_token_is_refused(token: str) -> None:
    with pytest.raises(Unauthenticated):
        ServiceCredential("billing", SECRET).verify(token)


def test_a_credential_does_not_show_its_secret() -> None:
    assert SECRET not in repr(ServiceCredential("chat", SECRET))
