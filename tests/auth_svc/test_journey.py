from datetime import timedelta

from chatmesh.auth.v1 import auth_pb2 as pb
from redis.asyncio import Redis

from svckit import clients, identity, process
from svckit.errors import Unauthenticated
from svckit.identity import RemoteKeys, Role, TokenVerifier
from svckit.revocations import Revocations
from tests.auth_svc.conftest import SERVICES, Auth
from tests.auth_svc.person import Person, bearer, refused
from tests.callers import refusal
from tests.waiting import until


async def test_a_person_signs_up_verifies_signs_in_and_sees_who_they_are(auth: Auth, person: Person) -> None:
    await person.sign_up(name="  Ada ")
    user = await person.verify(await person.mailed_token())
    signed_in = await person.sign_in()
    me = await auth.stub.GetMe(pb.GetMeRequest(), metadata=bearer(signed_in.tokens.access_token))

    assert me.user == signed_in.user == user
    assert (user.email, user.name, user.role, user.email_verified) == (person.address, "Ada", pb.ROLE_USER, True)


async def test_signing_in_gives_tokens_and_a_cookie_that_scripts_cannot_read(person: Person) -> None:
    await person.register()

    call = person.sign_in()
    tokens = (await call).tokens
    cookie = str((await call.initial_metadata())["set-cookie"])

    assert cookie.startswith("session=")
    assert cookie.endswith("; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax")
    assert len({tokens.access_token, tokens.refresh_token, cookie}) == 3
    life = tokens.access_token_expire_time.ToDatetime() - tokens.refresh_token_expire_time.ToDatetime()
    assert life == timedelta(minutes=10) - timedelta(days=7)


async def test_another_process_verifies_the_token_and_hears_that_its_session_ended(auth: Auth, person: Person) -> None:
    user = await person.register()
    async with (
        clients.channel(auth.address, services=SERVICES) as channel,
        Redis.from_url(str(auth.settings.redis_url)) as redis,
    ):
        revocations = Revocations(redis)
        elsewhere = TokenVerifier(keys=RemoteKeys(identity.keys_of(channel)), revocations=revocations)
        async with process.background(revocations.run):
            await revocations.ready.wait()
            signed_in = await person.sign_in()
            token = signed_in.tokens.access_token
            claims = await elsewhere.verify(token)
            assert (claims.user_id, claims.role) == (user.id, Role.USER)

            out = auth.stub.SignOut(pb.SignOutRequest(), metadata=bearer(token))
            await out
            assert str((await out.initial_metadata())["set-cookie"]).startswith("session=; Path=/; Max-Age=0;")

            await until(lambda: refused(elsewhere.verify(token)))
            await until(lambda: refused(auth.stub.GetMe(pb.GetMeRequest(), metadata=bearer(token))))


async def test_nobody_is_anybody_without_a_token(auth: Auth) -> None:
    error = await refusal(auth.stub.GetMe(pb.GetMeRequest()))

    assert (type(error), error.reason) == (Unauthenticated, "CREDENTIALS_MISSING")
