import asyncio
from collections.abc import Awaitable, Callable

from chatmesh.auth.v1 import auth_pb2 as pb
from joserfc.jwk import OKPKey
from sqlalchemy import select

from auth_svc.models import StoredKey
from svckit import postgres
from tests.auth_svc.conftest import Auth, Start
from tests.auth_svc.person import Person, bearer


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
