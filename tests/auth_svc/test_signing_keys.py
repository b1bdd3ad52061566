import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import pytest
from chatmesh.auth.v1 import auth_pb2 as pb
from joserfc import jws
from joserfc.jwk import OKPKey
from sqlalchemy import select

from auth_svc import rotate_keys
from auth_svc.models import StoredKey
from auth_svc.settings import AuthSettings
from svckit import postgres
from svckit.identity import RemoteKeys, TokenVerifier
from tests.auth_svc.conftest import Auth, MovedClock, Start
from tests.auth_svc.person import Person, bearer, refused
from tests.waiting import until


async def keys_of(auth: Auth) -> list[pb.SigningKey]:
    return list((await auth.stub.ListSigningKeys(pb.ListSigningKeysRequest())).keys)


async def test_keys_are_published_as_a_json_web_key_set(auth: Auth) -> None:
    (key,) = [key for key in await keys_of(auth) if key.kid == (await keys_of(auth))[0].kid]

    assert (key.kty, key.crv, key.use, key.alg) == ("OKP", "Ed25519", "sig", "EdDSA")
    assert OKPKey.import_key({"kty": key.kty, "crv": key.crv, "x": key.x}).thumbprint() == key.kid


async def test_replicas_that_start_together_make_one_key_and_keep_it(
    start: Start, new_database: Callable[[], Awaitable[str]]
) -> None:
    url = await new_database()

    async def keys() -> list[pb.SigningKey]:
        async with start(database_url=url) as auth:
            return await keys_of(auth)

    one, other = await asyncio.gather(keys(), keys())
    later = await keys()

    assert one == other == later
    assert len(one) == 1


async def test_a_private_key_lies_in_the_database_sealed(
    start: Start, new_database: Callable[[], Awaitable[str]]
) -> None:
    url = await new_database()
    async with start(database_url=url), postgres.connected(url) as database, database.transaction() as session:
        stored = (await session.scalars(select(StoredKey))).one()

    assert stored.sealed.count(".") == 4
    assert '"d"' not in stored.sealed


async def test_changing_the_service_secret_signs_nobody_out(
    start: Start, new_database: Callable[[], Awaitable[str]]
) -> None:
    url = await new_database()
    async with start(database_url=url) as auth:
        person = auth.person()
        await person.register()
        before = bearer((await person.sign_in()).tokens.access_token)
        old_keys = await keys_of(auth)
    async with start(database_url=url, service_secret="another secret, long enough to be one") as auth:
        after = bearer((await Person(auth.stub, auth.inbox, person.address).sign_in()).tokens.access_token)

        for metadata in (before, after):
            assert (await auth.stub.GetMe(pb.GetMeRequest(), metadata=metadata)).user.email == person.address
        new_keys = await keys_of(auth)
    assert len(new_keys) == 2
    assert old_keys[0] in new_keys


async def me(auth: Auth, access_token: str) -> str:
    return (await auth.stub.GetMe(pb.GetMeRequest(), metadata=bearer(access_token))).user.email


async def rotated(settings: AuthSettings, *, at_once: bool, capsys: pytest.CaptureFixture[str]) -> str:
    await rotate_keys.main(settings, at_once=at_once)
    (said,) = [line for line in capsys.readouterr().out.splitlines() if " signs from " in line]
    return said.partition(" ")[0]


def kid_of(access_token: str) -> str:
    return str(jws.extract_compact(access_token.encode()).headers()["kid"])


async def test_a_key_that_is_replaced_by_hand_is_published_first_and_signs_later(
    start: Start, new_database: Callable[[], Awaitable[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    clock, url = MovedClock(), await new_database()
    async with start(database_url=url, clock=clock) as auth:
        person = auth.person()
        await person.register()
        (old,) = await keys_of(auth)

        new = await rotated(auth.settings, at_once=False, capsys=capsys)

        assert {key.kid for key in await keys_of(auth)} == {old.kid, new}
        assert kid_of((await person.tokens()).access_token) == old.kid
    clock.ahead = timedelta(minutes=15, seconds=1)
    async with start(database_url=url, clock=clock) as auth:
        assert kid_of((await Person(auth.stub, auth.inbox, person.address).tokens()).access_token) == new


async def test_tokens_of_the_old_and_the_new_key_count_beside_each_other_and_a_new_key_is_fetched_once(
    start: Start, new_database: Callable[[], Awaitable[str]]
) -> None:
    url, fetches = await new_database(), 0
    async with start(database_url=url) as before:

        async def fetch() -> Sequence[tuple[str, str]]:
            nonlocal fetches
            fetches += 1
            return await fetching(before)()

        verifier = TokenVerifier(keys=RemoteKeys(fetch))
        person = before.person()
        await person.register()
        old = (await person.tokens()).access_token
        await rotate_keys.main(before.settings, at_once=False)
        await verifier.verify(old)
        await _let_it_sign(url)
        async with start(database_url=url) as after:
            new = (await Person(after.stub, after.inbox, person.address).tokens()).access_token

            assert kid_of(new) != kid_of(old)
            for token in (new, old, new):
                assert await me(before, token) == await me(after, token) == person.address
                assert (await verifier.verify(token)).user_id
    assert fetches == 1


async def _let_it_sign(database_url: str) -> None:
    """As if a quarter of an hour had passed: the key that was made last is in use when a replica starts."""
    async with postgres.connected(database_url, pool_size=1) as database, database.transaction() as session:
        newest = (await session.scalars(select(StoredKey).order_by(StoredKey.active_at.desc()))).first()
        assert newest
        newest.active_at = newest.created_at


async def test_keys_are_replaced_every_thirty_days_and_an_old_one_goes_when_its_tokens_have_ended(
    start: Start, new_database: Callable[[], Awaitable[str]]
) -> None:
    clock, url = MovedClock(), await new_database()

    async def kids(ahead: timedelta) -> set[str]:
        clock.ahead = ahead
        async with start(database_url=url, clock=clock) as auth:
            return {key.kid for key in await keys_of(auth)}

    first = await kids(timedelta())
    kept = await kids(timedelta(days=29, hours=23))
    both = await kids(timedelta(days=30, seconds=10))
    waiting = await kids(timedelta(days=30, minutes=70))
    second = await kids(timedelta(days=30, minutes=76))

    assert first == kept < both == waiting
    assert second == both - first


async def test_a_key_that_got_out_is_void_at_once(
    start: Start, new_database: Callable[[], Awaitable[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    async with start(database_url=await new_database()) as auth:
        person = auth.person()
        await person.register()
        cookie, pair = await person.session_token(), await person.tokens()

        new = await rotated(auth.settings, at_once=True, capsys=capsys)

        async def signs() -> bool:
            exchanged = await auth.as_edge.ExchangeSession(pb.ExchangeSessionRequest(session_token=cookie))
            return kid_of(exchanged.access_token) == new

        await until(signs)
        assert [key.kid for key in await keys_of(auth)] == [new]
        verifier = TokenVerifier(keys=RemoteKeys(fetching(auth)))
        assert await refused(verifier.verify(pair.access_token))
        refreshed = await auth.stub.RefreshToken(pb.RefreshTokenRequest(refresh_token=pair.refresh_token))
        assert (await verifier.verify(refreshed.tokens.access_token)).user_id


async def test_keys_that_are_replaced_twice_at_the_same_moment_leave_every_replica_with_the_one_that_stayed(
    start: Start, new_database: Callable[[], Awaitable[str]]
) -> None:
    url = await new_database()
    async with start(database_url=url) as one, start(database_url=url) as other:
        person = one.person()
        await person.register()
        verifier = TokenVerifier(keys=RemoteKeys(fetching(other)))
        await verifier.verify((await person.tokens()).access_token)

        await asyncio.gather(*(rotate_keys.main(one.settings, at_once=at_once) for at_once in (True, False, True)))

        kept = [key.kid for key in await keys_of(one)]
        assert [key.kid for key in await keys_of(other)] == kept
        for auth in (one, other):
            again = Person(auth.stub, auth.inbox, person.address)

            async def signs_with_what_stayed(again: Person = again) -> bool:
                return kid_of((await again.tokens()).access_token) in kept

            await until(signs_with_what_stayed)


@pytest.mark.parametrize("ahead", [timedelta(seconds=-60), timedelta(seconds=60)])
async def test_a_replica_whose_clock_is_a_minute_off_signs_tokens_that_count_everywhere(
    start: Start, new_database: Callable[[], Awaitable[str]], ahead: timedelta
) -> None:
    url, clock = await new_database(), MovedClock()
    clock.ahead = ahead
    async with start(database_url=url) as right, start(database_url=url, clock=clock) as off:
        person = off.person()
        await person.register()

        for signed_by in (off, right):
            token = (await Person(signed_by.stub, off.inbox, person.address).tokens()).access_token
            assert await me(right, token) == await me(off, token) == person.address


def fetching(auth: Auth) -> Callable[[], Awaitable[Sequence[tuple[str, str]]]]:
    async def fetch() -> Sequence[tuple[str, str]]:
        return [(key.kid, key.x) for key in await keys_of(auth)]

    return fetch
