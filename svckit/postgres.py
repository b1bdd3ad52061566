"""PostgreSQL: a pool, transactions, locks, notifications, and migrations that many replicas may start at once."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from select import POLLIN, poll

import psycopg
import structlog
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, NullPool, event, func, make_url, select
from sqlalchemy.exc import InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.schema import CreateSchema

from svckit import sql_calls
from svckit.errors import Unavailable
from svckit.statements import Driver

log = structlog.get_logger(__name__)

# What a session may do before PostgreSQL ends it: a stuck client must not hold up the others.
_LIMITS = {"statement_timeout": "30s", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "60s"}
# A migration may take long, but must not stand long in the queue for a table: everybody else waits behind it there.
_MIGRATION_LIMITS = {"statement_timeout": "0", "lock_timeout": "10s", "idle_in_transaction_session_timeout": "0"}
# A peer that vanished without a word is noticed within a minute: libpq's names, in seconds, but the last in ms.
_PATIENCE = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_POOL_SECONDS = 5
_RECYCLE_SECONDS = 1800
_LOCK_POLL_SECONDS = 0.5
_SCHEMA_POLL_SECONDS = 1.0
_ENVIRONMENT = Path(__file__).parent / "migrations"

# Alembic's `op` is one for the whole process, so migrations of two schemas must not run side by side in it.
_alembic = asyncio.Lock()


@dataclass(frozen=True, slots=True)
class Database:
    """A pool of connections; PostgreSQL may be away when it is made and come back later."""

    engine: AsyncEngine
    unpooled: AsyncEngine
    """Opens a connection for each use, and closes it."""
    name: str = "chatmesh"
    """What `/metrics` calls the pool."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """One transaction: committed when the block ends well, rolled back when it raises.

        Raises Unavailable when PostgreSQL is away or gave up (time-out, deadlock, no connection left): retrying helps.
        When it went away during the commit itself, nobody knows whether it happened.
        """
        with self._unavailable():
            async with AsyncSession(self.engine, expire_on_commit=False) as session, session.begin():
                yield session

    @asynccontextmanager
    async def direct(self) -> AsyncIterator[Driver]:
        """The same, on the driver itself: for `statements.Statement`, where SQLAlchemy would cost too much.

        Raises psycopg's own errors for what a statement does wrong.
        """
        with self._unavailable():
            async with self.engine.connect() as connection, _kept_only_alive(connection) as driver:
                yield driver
                await driver.commit()

    @asynccontextmanager
    async def dedicated(self) -> AsyncIterator[AsyncConnection]:
        """A connection of one's own, outside the pool and closed at the end: for session locks and LISTEN."""
        async with self.unpooled.connect() as connection:
            yield connection

    async def ping(self) -> None:
        """Raise Unavailable unless PostgreSQL answers."""
        async with self.transaction() as session:
            await session.execute(select(1))

    @contextmanager
    def _unavailable(self) -> Iterator[None]:
        """Raise Unavailable for what trying again may help with, be it SQLAlchemy or the driver that meets it."""
        try:
            yield
        except (OperationalError, PoolTimeout, psycopg.OperationalError) as error:
            if isinstance(error, PoolTimeout):
                sql_calls.POOL_TIMEOUTS.labels(self.name).inc()
            log.warning("postgres unavailable", error=_first_line(error))
            raise Unavailable("the database is not available, try again", reason="DATABASE_UNAVAILABLE") from error


@asynccontextmanager
async def connected(url: str, *, pool_size: int = 10, name: str = "chatmesh") -> AsyncIterator[Database]:
    """A pool of at most `pool_size` connections to a postgresql:// URL; `name` is what pg_stat_activity shows."""
    address, arguments = _address(url), _arguments(name, _LIMITS)
    # What a statement was given may be a secret, or a user's message: it has no place in an error, nor in a log.
    make = partial(create_async_engine, address, connect_args=arguments, hide_parameters=True)
    pooled = make(
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=_POOL_SECONDS,
        pool_recycle=_RECYCLE_SECONDS,
    )
    unpooled = make(poolclass=NullPool)
    for engine in (pooled, unpooled):
        sql_calls.observe(engine, pool=name)
    event.listen(pooled.sync_engine, "checkout", _refuse_lost)
    try:
        yield Database(pooled, unpooled, name)
    finally:
        await pooled.dispose()


async def hold(connection: AsyncConnection, lock: str) -> None:
    """Wait for the advisory lock of that name; it is held until the connection closes.

    Asks again and again: waiting inside PostgreSQL would keep a snapshot open, and CREATE INDEX CONCURRENTLY, which
    waits for old snapshots, could then never end.
    """
    while not await try_hold(connection, lock):  # noqa: ASYNC110 - another process lets it go
        await asyncio.sleep(_LOCK_POLL_SECONDS)


async def try_hold(connection: AsyncConnection, lock: str) -> bool:
    """Take the advisory lock of that name until the connection closes; false while somebody else has it."""
    taken = await connection.scalar(select(func.pg_try_advisory_lock(func.hashtextextended(lock, 0))))
    await connection.commit()
    return bool(taken)


async def listen(connection: AsyncConnection, channel: str) -> Driver:
    """Have the channel's notifications sent here; they come in on the driver's own connection, which this gives."""
    await connection.exec_driver_sql(f'LISTEN "{channel}"')
    await connection.commit()
    return await _driver(connection)


async def driver_of(session: AsyncSession) -> Driver:
    """The connection that the session's transaction is on; what the session has to write is written first."""
    await session.flush()
    return await _driver(await session.connection())


async def migrate(url: str, *, schema: str, scripts: Path) -> None:
    """Bring the schema to the newest revision in `scripts`/versions; replicas that start together take turns.

    Each revision is a transaction of its own. The version table is in the schema. A schema that is ahead of the code,
    as after a deploy was rolled back, is left as it is.
    """
    arguments = _arguments(f"migrate {schema}", _MIGRATION_LIMITS)
    engine = create_async_engine(_address(url), connect_args=arguments, poolclass=NullPool)
    async with _alembic, engine.connect() as connection:
        await hold(connection, f"migrate:{schema}")
        await connection.execute(CreateSchema(schema, if_not_exists=True))
        await connection.commit()
        await connection.run_sync(_upgrade, schema, scripts)


async def prepare(url: str, *, schema: str, scripts: Path, migrating: bool) -> None:
    """Migrate the schema, or, if not `migrating`, wait until another process has brought it as far as `scripts` go."""
    if migrating:
        await migrate(url, schema=schema, scripts=scripts)
        return
    async with connected(url, pool_size=1, name=f"await {schema}") as database:
        while not await _is_migrated(database, schema, scripts):
            log.info("waiting for the schema to be migrated", schema=schema, by="chatmesh migrate")
            await asyncio.sleep(_SCHEMA_POLL_SECONDS)


async def _is_migrated(database: Database, schema: str, scripts: Path) -> bool:
    async with database.engine.connect() as connection:
        return await connection.run_sync(_is_at_head, schema, scripts)


async def _driver(connection: AsyncConnection) -> Driver:
    return _psycopg((await connection.get_raw_connection()).driver_connection)


def _psycopg(driver: object) -> Driver:
    if not isinstance(driver, psycopg.AsyncConnection):
        raise TypeError(f"psycopg's asyncio connection is needed, not {type(driver).__name__}")
    return driver


def _refuse_lost(_connection: object, pooled: ConnectionPoolEntry, _proxy: object) -> None:
    """Have a connection that was lost while nobody used it replaced, and the others that were.

    The server says nothing on an idle connection, unless it closes it. Asking it, as the pool's own check does, costs
    as much as a statement.
    """
    driver = _psycopg(pooled.driver_connection)
    if driver.closed or _has_news(driver.fileno()):
        raise InvalidatePoolError("the connection was lost")


def _has_news(descriptor: int) -> bool:
    watching = poll()
    watching.register(descriptor, POLLIN)
    return bool(watching.poll(0))


@asynccontextmanager
async def _kept_only_alive(connection: AsyncConnection) -> AsyncIterator[Driver]:
    """The driver's connection; one that is lost in the block does not go back to the pool, which would not know.

    Nor does one that was waited for in vain, as nobody knows what it is doing.
    """
    driver = await _driver(connection)
    try:
        yield driver
    except asyncio.CancelledError:
        await connection.invalidate()
        raise
    finally:
        if driver.closed:
            await connection.invalidate()


def _address(url: str) -> URL:
    return make_url(url).set(drivername="postgresql+psycopg")


def _arguments(name: str, limits: Mapping[str, str]) -> dict[str, str | int]:
    """The parameters of a connection, by libpq's names."""
    options = " ".join(f"-c {setting}={value}" for setting, value in limits.items())
    return {"application_name": name, "options": options, **_PATIENCE}


def _upgrade(connection: Connection, schema: str, scripts: Path) -> None:
    config = _alembic_config(scripts)
    config.attributes.update(connection=connection, schema=schema)
    unknown = _unknown_revisions(connection, schema, ScriptDirectory.from_config(config))
    connection.commit()  # what was read began a transaction; Alembic wants to begin its own
    if unknown:
        log.warning("schema is newer than this code", schema=schema, revisions=unknown)
        return
    command.upgrade(config, "head")


def _is_at_head(connection: Connection, schema: str, scripts: Path) -> bool:
    """Whether the schema has all these revisions; one that is ahead of them does."""
    directory = ScriptDirectory.from_config(_alembic_config(scripts))
    current = MigrationContext.configure(connection, opts={"version_table_schema": schema}).get_current_heads()
    return set(current) == set(directory.get_heads()) or bool(_unknown_revisions(connection, schema, directory))


def _alembic_config(scripts: Path) -> Config:
    config = Config()
    for option, value in {
        "script_location": str(_ENVIRONMENT),
        "version_locations": str(scripts / "versions"),
        "path_separator": "newline",
    }.items():
        config.set_main_option(option, value.replace("%", "%%"))
    return config


def _unknown_revisions(connection: Connection, schema: str, scripts: ScriptDirectory) -> list[str]:
    """The schema's revisions that these scripts do not have."""
    context = MigrationContext.configure(connection, opts={"version_table_schema": schema})
    unknown = []
    for revision in context.get_current_heads():
        try:
            scripts.get_revision(revision)
        except CommandError:
            unknown.append(revision)
    return unknown


def _first_line(error: Exception) -> str:
    cause = error.orig if isinstance(error, OperationalError) else error
    return str(cause).partition("\n")[0]
