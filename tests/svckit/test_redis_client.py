"""What Redis does to those who use it when it is started again."""

import asyncio

from svckit import redis_client
from svckit.local import Engines


async def test_connections_that_were_idle_while_redis_was_started_again_fail_nobody(engines: Engines) -> None:
    assert engines.valkey is not None
    async with redis_client.connected(engines.redis_url) as redis:

        async def used() -> list[object]:
            return await asyncio.gather(*(redis.echo("here") for _ in range(20)))

        before = await used()
        await engines.valkey.stop()
        await engines.valkey.start()

        assert await used() == before
