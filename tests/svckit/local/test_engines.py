"""The real engines, through their own clients."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import nats
import psycopg
import pytest
import redis.asyncio

from svckit import local


async def _keep(engines: local.Engines, value: str) -> None:
    """Store a value in each engine."""
    async with await psycopg.AsyncConnection.connect(engines.database_url) as connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS kept (value text)")
        await connection.execute("INSERT INTO kept VALUES (%s)", [value])
    async with redis.asyncio.from_url(engines.redis_url) as client:
        await client.rpush("kept", value)
    bus = await nats.connect(engines.nats_url)
    await bus.jetstream().add_stream(name="KEPT", subjects=["kept"])
    await bus.jetstream().publish("kept", value.encode())
    await bus.close()


async def _kept(engines: local.Engines) -> tuple[list[str], list[str], list[str]]:
    """Read what each engine has."""
    async with await psycopg.AsyncConnection.connect(engines.database_url) as connection:
        rows = await (await connection.execute("SELECT value FROM kept")).fetchall()
    async with redis.asyncio.from_url(engines.redis_url, decode_responses=True) as client:
        items = await client.lrange("kept", 0, -1)
    bus = await nats.connect(engines.nats_url)
    stream = bus.jetstream()
    last = (await stream.stream_info("KEPT")).state.last_seq
    messages = [(await stream.get_msg("KEPT", number)).data or b"" for number in range(1, last + 1)]
    await bus.close()
    return [row[0] for row in rows], [str(item) for item in items], [message.decode() for message in messages]


async def _nats_says(url: str, command: bytes) -> bytes:
    """Read all that NATS answers to a command before it hangs up; its client leaves a socket open when refused."""
    reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
    writer.write(command + b"\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_data_and_addresses_outlive_a_restart(folder: Path) -> None:
    async with local.Home.opened(folder) as home, local.engines(home) as engines:
        await _keep(engines, "one")
        first = (engines.database_url, engines.redis_url, engines.nats_url)
    async with local.Home.opened(folder) as home, local.engines(home) as engines:
        second = (engines.database_url, engines.redis_url, engines.nats_url)
        await _keep(engines, "two")

        assert await _kept(engines) == (["one", "two"],) * 3
    assert first == second


async def test_a_killed_engine_comes_back_with_what_it_had(home: local.Home) -> None:
    async with local.engines(home, durable=False) as engines:
        await _keep(engines, "one")
        for engine in (engines.postgres, engines.valkey, engines.nats):
            assert engine is not None
            await engine.kill()
            await engine.start()

        assert await _kept(engines) == (["one"],) * 3


async def test_a_stopped_engine_does_not_answer(home: local.Home) -> None:
    async with local.engines(home, durable=False) as engines:
        assert engines.postgres is not None
        await engines.postgres.stop()

        with pytest.raises(psycopg.OperationalError):
            await psycopg.AsyncConnection.connect(engines.database_url)


async def test_nobody_gets_in_without_the_password(home: local.Home) -> None:
    async with local.engines(home, durable=False) as engines:
        with pytest.raises(psycopg.OperationalError, match="password"):
            await psycopg.AsyncConnection.connect(engines.database_url.replace(home.secret("postgres"), "guess"))
        async with redis.asyncio.from_url(engines.redis_url.replace(home.secret("valkey"), "guess")) as client:
            with pytest.raises(redis.exceptions.AuthenticationError):
                await client.ping()
        assert b"Authorization Violation" in await _nats_says(
            engines.nats_url, b'CONNECT {"user":"mesh","pass":"guess"}'
        )


async def test_an_engine_that_is_given_by_its_url_is_not_started(home: local.Home) -> None:
    given = {"DATABASE_URL": "postgresql://elsewhere/db", "NATS_URL": "nats://elsewhere", "REDIS_URL": ""}

    async with local.engines(home, given=given) as engines:
        assert engines.database_url == "postgresql://elsewhere/db"
        assert engines.nats_url == "nats://elsewhere"
        assert engines.postgres is engines.nats is None
        assert engines.valkey is not None
    assert not (home.path / "postgres").exists()


async def test_a_cluster_whose_making_was_cut_short_is_made_anew(home: local.Home) -> None:
    unfinished = home.folder("postgres.unfinished")
    (unfinished / "PG_VERSION").write_text("18\n")

    async with (
        local.engines(home, durable=False) as engines,
        await psycopg.AsyncConnection.connect(engines.database_url) as connection,
    ):
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)
    assert not unfinished.exists()


async def test_when_one_engine_cannot_start_the_others_are_stopped(home: local.Home) -> None:
    async with local.engines(home, durable=False):
        pass
    (home.path / "postgres" / "PG_VERSION").write_text("9.6\n")

    with pytest.raises(local.ProgramFailed, match="database files are incompatible with server") as raised:
        async with local.engines(home, durable=False):
            pass

    assert raised.value.name == "postgres"
    async with local.Home.opened(home.path.with_name("other")) as other, local.engines(other, durable=False):
        pass  # the machine is fine, and the ports are free


async def test_two_folders_run_side_by_side(home: local.Home) -> None:
    async with (
        local.Home.opened(home.path.with_name("other")) as other,
        local.engines(home, durable=False) as first,
        local.engines(other, durable=False) as second,
    ):
        await _keep(first, "first")
        await _keep(second, "second")

        assert await _kept(first) == (["first"],) * 3
        assert await _kept(second) == (["second"],) * 3


async def test_letters_of_any_script_have_upper_and_lower_case(home: local.Home) -> None:
    async with (
        local.engines(home, durable=False) as engines,
        await psycopg.AsyncConnection.connect(engines.database_url) as connection,
    ):
        found = await (
            await connection.execute("SELECT 'GRÜSSE ЖУК' ILIKE '%grüsse жук%', uuidv7() IS NULL")
        ).fetchone()

        assert found == (True, False)
