from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from chatmesh.auth.v1 import auth_pb2 as pb
from redis.asyncio import Redis

from svckit.local import Engines
from svckit.revocations import KEY
from tests.auth_svc.conftest import Start
from tests.auth_svc.person import bearer, refused
from tests.waiting import until


async def test_a_session_that_ended_while_redis_was_away_is_announced_when_it_is_back(
    start: Start, engines: Engines
) -> None:
    assert engines.valkey is not None
    async with start() as auth:
        person = auth.person()
        await person.register()
        cookie = await person.session_token()
        metadata = bearer((await person.sign_in()).tokens.access_token)
        await engines.valkey.stop()
        try:
            await auth.stub.SignOut(pb.SignOutRequest(), metadata=metadata)
            assert (await auth.as_edge.ExchangeSession(pb.ExchangeSessionRequest(session_token=cookie))).access_token
        finally:
            await engines.valkey.start()

        await until(lambda: refused(auth.stub.GetMe(pb.GetMeRequest(), metadata=metadata)))


async def test_ended_sessions_are_announced_again_when_redis_has_lost_them_and_at_start(
    start: Start, engines: Engines, new_database: Callable[[], Awaitable[str]]
) -> None:
    own = {
        "database_url": await new_database(),
        "redis_url": urlsplit(engines.redis_url)._replace(path="/7").geturl(),
    }
    async with Redis.from_url(own["redis_url"]) as redis:

        async def told() -> bool:
            return await redis.zcard(KEY) == 1

        async with start(**own) as auth:
            person = auth.person()
            await person.register()
            metadata = bearer((await person.sign_in()).tokens.access_token)
            await auth.stub.SignOut(pb.SignOutRequest(), metadata=metadata)
            await redis.flushdb()
            await until(told)
        await redis.delete(KEY)
        async with start(**own):
            await until(told)
