import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Integer, bindparam, column, func, insert, literal, select, table, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from svckit import local, postgres
from svckit.errors import Unavailable
from svckit.local import Engines, ports
from svckit.postgres import Database
from svckit.statements import Statement

MIGRATE = """
import asyncio, sys
from pathlib import Path
from svckit import postgres
asyncio.run(postgres.migrate(sys.argv[1], schema="shop", scripts=Path(sys.argv[2])))
"""
FIRST = """
from alembic import op
revision, down_revision = "0001", None
def upgrade():
    op.execute("CREATE TABLE shop.orders (id int)")
    op.execute("INSERT INTO shop.orders SELECT 1 FROM pg_sleep(0.2)")
"""
SECOND = """
from alembic import op
revision, down_revision = "0002", "0001"
def upgrade():
    with op.get_context().autocommit_block():
        op.execute("CREATE INDEX CONCURRENTLY orders_id ON shop.orders (id)")
    op.execute("INSERT INTO shop.orders VALUES (2)")
"""
BROKEN = """
from alembic import op
revision, down_revision = "0003", "0002"
def upgrade():
    op.execute("INSERT INTO shop.orders VALUES (3)")
    op.execute("SELECT nothing_like_this()")
"""

COUNTED = Statement(select(column("n")).select_from(table("counted")))
COUNT = Statement(insert(table("counted", column("n"))).values(n=bindparam("n", type_=Integer)))


@pytest.fixture
async def url(new_database: Callable[[], Awaitable[str]]) -> str:
    return await new_database()


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with postgres.connected(url, pool_size=2, name="test") as database:
        yield database


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """A migrations folder, with a sign in its path that Alembic would otherwise interpret."""
    scripts = tmp_path / "100% shop" / "migrations"
    (scripts / "versions").mkdir(parents=True)
    (scripts / "versions" / "0001_first.py").write_text(FIRST)
    (scripts / "versions" / "0002_second.py").write_text(SECOND)
    return scripts


async def _scalars(database: Database, query: str) -> list[object]:
    async with database.transaction() as session:
        return list(await session.scalars(text(query)))


async def _execute(database: Database, *statements: str, then: Exception | None = None) -> None:
    """Execute the statements in one transaction, whose block then ends well or raises."""
    async with database.transaction() as session:
        for statement in statements:
            await session.execute(text(statement))
        if then:
            raise then


async def test_a_block_that_ends_well_is_committed(database: Database) -> None:
    await _execute(database, "CREATE TABLE kept AS SELECT 1 AS n")

    assert await _scalars(database, "SELECT n FROM kept") == [1]


async def test_a_block_that_raises_is_rolled_back(database: Database) -> None:
    with pytest.raises(KeyError):
        await _execute(database, "CREATE TABLE dropped AS SELECT 1 AS n", then=KeyError())

    assert await _scalars(database, "SELECT to_regclass('dropped')::text") == [None]


async def test_a_broken_rule_of_the_schema_reaches_the_caller_as_it_is(database: Database) -> None:
    with pytest.raises(IntegrityError):
        await _execute(database, "CREATE TABLE one (n int PRIMARY KEY)", "INSERT INTO one VALUES (1), (1)")


async def test_an_error_does_not_repeat_what_the_statement_was_given(database: Database) -> None:
    with pytest.raises(DBAPIError) as caught:
        async with database.transaction() as session:
            await session.execute(text("SELECT 1 / :zero, :secret"), {"zero": 0, "secret": "correct horse"})

    assert "correct horse" not in str(caught.value)


async def test_a_session_says_who_it_is_and_has_limits(database: Database) -> None:
    names = ("application_name", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")

    async with database.transaction() as session:
        settings = [await session.scalar(select(func.current_setting(name))) for name in names]

    assert settings == ["test", "30s", "5s", "1min"]


async def test_a_statement_that_takes_too_long_is_unavailable(database: Database) -> None:
    with pytest.raises(Unavailable):
        await _execute(database, "SET LOCAL statement_timeout = '20ms'", "SELECT pg_sleep(10)")

    await database.ping()


async def test_a_pool_whose_connections_are_all_taken_waits_for_one(database: Database) -> None:
    await asyncio.gather(*(_execute(database, "SELECT pg_sleep(0.01)") for _ in range(8)))


async def test_a_direct_block_is_one_transaction(database: Database) -> None:
    await _execute(database, "CREATE TABLE counted (n int)")
    async with database.direct() as driver:
        await COUNT.run(driver, {"n": 1})
    with suppress(KeyError):
        async with database.direct() as driver:
            await COUNT.run(driver, {"n": 2})
            raise KeyError

    async with database.direct() as driver:
        assert await COUNTED.rows(driver, {}) == [{"n": 1}]


async def test_a_session_and_its_driver_share_a_transaction(database: Database) -> None:
    await _execute(database, "CREATE TABLE counted (n int)")
    with suppress(KeyError):
        async with database.transaction() as session:
            await COUNT.run(await postgres.driver_of(session), {"n": 1})
            assert await session.scalar(text("SELECT n FROM counted")) == 1
            raise KeyError

    assert await _scalars(database, "SELECT n FROM counted") == []


async def test_what_the_driver_meets_in_a_session_is_unavailable_too(database: Database) -> None:
    async def take_too_long() -> None:
        async with database.transaction() as session:
            await session.execute(text("SET LOCAL statement_timeout = '20ms'"))
            await Statement(select(func.pg_sleep(10))).run(await postgres.driver_of(session), {})

    with pytest.raises(Unavailable):
        await take_too_long()

    await database.ping()


async def test_a_connection_that_is_lost_or_given_up_in_a_direct_block_is_not_used_again(database: Database) -> None:
    waits = Statement(select(func.pg_sleep(60)))
    with pytest.raises(Unavailable):
        async with database.direct() as driver:
            await Statement(select(func.pg_terminate_backend(func.pg_backend_pid()))).run(driver, {})
    for _ in range(3):  # more than the pool holds
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1), database.direct() as driver:
                await waits.run(driver, {})

    await database.ping()


async def test_connections_that_the_server_closed_meanwhile_are_replaced(database: Database) -> None:
    await asyncio.gather(*(_execute(database, "SELECT pg_sleep(0.01)") for _ in range(2)))
    ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database()"
    async with database.dedicated() as connection:
        await connection.execute(text(f"{ended} AND pid <> pg_backend_pid()"))

    await database.ping()
    async with database.direct() as driver:
        assert await Statement(select(literal(1).label("n"))).rows(driver, {}) == [{"n": 1}]


async def test_a_database_that_is_away_is_unavailable() -> None:
    async with postgres.connected(f"postgresql://nobody@127.0.0.1:{ports.free_port()}/none") as database:
        with pytest.raises(Unavailable, match="the database is not available"):
            await database.ping()
        with pytest.raises(Unavailable, match="the database is not available"):
            async with database.direct():
                pass


async def test_a_pool_outlives_a_restart_of_the_database(engines: Engines, tmp_path: Path) -> None:
    others = {"REDIS_URL": engines.redis_url, "NATS_URL": engines.nats_url}
    async with (
        local.Home.opened(tmp_path) as home,
        local.engines(home, durable=False, given=others) as own,
        postgres.connected(own.database_url, pool_size=2) as database,
    ):
        await database.ping()
        assert own.postgres is not None
        await own.postgres.restart()

        await database.ping()


async def test_a_lock_is_held_until_its_connection_closes(database: Database) -> None:
    async def take() -> None:
        async with database.dedicated() as connection:
            await postgres.hold(connection, "the lock")

    async with database.dedicated() as connection:
        await postgres.hold(connection, "the lock")
        second = asyncio.create_task(take())
        waiting, _ = await asyncio.wait([second], timeout=0.1)
        assert not waiting

    await second


async def test_a_dedicated_connection_takes_no_place_in_the_pool(database: Database) -> None:
    async with database.dedicated(), database.dedicated(), database.dedicated():
        await database.ping()


async def test_migrations_run_in_order_inside_the_schema(database: Database, url: str, scripts: Path) -> None:
    await postgres.migrate(url, schema="shop", scripts=scripts)

    assert await _scalars(database, "SELECT id FROM shop.orders ORDER BY id") == [1, 2]
    assert await _scalars(database, "SELECT version_num FROM shop.alembic_version") == ["0002"]


async def test_a_schema_that_is_up_to_date_stays_as_it_is(database: Database, url: str, scripts: Path) -> None:
    await postgres.migrate(url, schema="shop", scripts=scripts)
    await postgres.migrate(url, schema="shop", scripts=scripts)

    assert await _scalars(database, "SELECT id FROM shop.orders ORDER BY id") == [1, 2]


async def test_replicas_that_migrate_at_the_same_time_take_turns(database: Database, url: str, scripts: Path) -> None:
    async def replica() -> int:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", MIGRATE, url, str(scripts))
        return await process.wait()

    assert [*await asyncio.gather(replica(), replica(), replica())] == [0, 0, 0]
    assert await _scalars(database, "SELECT id FROM shop.orders ORDER BY id") == [1, 2]


async def test_schemas_can_be_migrated_at_the_same_time_in_one_process(url: str, scripts: Path, tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "0001_other.py").write_text(FIRST.replace("shop.", "other."))

    await asyncio.gather(
        postgres.migrate(url, schema="shop", scripts=scripts), postgres.migrate(url, schema="other", scripts=tmp_path)
    )


async def test_a_migration_that_fails_leaves_those_before_it(database: Database, url: str, scripts: Path) -> None:
    (scripts / "versions" / "0003_broken.py").write_text(BROKEN)

    with pytest.raises(Exception, match="nothing_like_this"):
        await postgres.migrate(url, schema="shop", scripts=scripts)

    assert await _scalars(database, "SELECT id FROM shop.orders ORDER BY id") == [1, 2]
    assert await _scalars(database, "SELECT version_num FROM shop.alembic_version") == ["0002"]


async def test_code_that_was_rolled_back_leaves_a_newer_schema_alone(
    database: Database, url: str, scripts: Path
) -> None:
    await postgres.migrate(url, schema="shop", scripts=scripts)
    (scripts / "versions" / "0002_second.py").unlink()

    await postgres.migrate(url, schema="shop", scripts=scripts)

    assert await _scalars(database, "SELECT version_num FROM shop.alembic_version") == ["0002"]


async def test_who_does_not_migrate_waits_until_somebody_else_has(database: Database, url: str, scripts: Path) -> None:
    waiting = asyncio.ensure_future(postgres.prepare(url, schema="shop", scripts=scripts, migrating=False))
    await _until_asked(database, "await shop")
    early = waiting.done()
    await postgres.migrate(url, schema="shop", scripts=scripts)

    await waiting
    assert not early


async def _until_asked(database: Database, application: str) -> None:
    """Wait until a connection of that name is there."""
    while not await _scalars(database, f"SELECT 1 FROM pg_stat_activity WHERE application_name = '{application}'"):
        await asyncio.sleep(0.01)
