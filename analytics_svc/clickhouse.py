"""The one way to ClickHouse: a server over HTTP, or the engine inside this process (chdb), chosen by the URL."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar
from urllib.parse import unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError, ProgrammingError

from svckit import db_calls
from svckit.errors import ResourceExhausted, Unavailable
from svckit.settings import SettingsError

_SYSTEM = "clickhouse"
_READERS = 4
_MIB = 1 << 20

# Below the default deadline of an RPC, so that the caller is told why.
_READ_LIMITS = {"max_execution_time": 12, "max_memory_usage": 1024 * _MIB, "max_result_rows": 1_000_000}
# Last: after it no setting can be changed. As a setting of one query it would stay on the handle and end its writes.
_READ_ONLY = {"readonly": 1}
_WRITE_SETTINGS = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    # One block, whose token then is the batch's.
    "input_format_parallel_parsing": 0,
    # Late events may be of many months.
    "max_partitions_per_insert_block": 0,
}
# A server is tuned by its owner; the embedded engine would size its caches and pools for a machine of its own.
_ENGINE_OPTIONS = {
    "max_server_memory_usage": 2048 * _MIB,
    "mark_cache_size": 64 * _MIB,
    "primary_index_cache_size": 64 * _MIB,
    "query_condition_cache_size": 16 * _MIB,
    "compiled_expression_cache_size": 16 * _MIB,
    "background_pool_size": 2,
    "background_schedule_pool_size": 2,
    "max_thread_pool_size": 100,
}
_TIMEOUT_EXCEEDED = 159
_MEMORY_LIMIT_EXCEEDED = 241

Row = Sequence[object]
T = TypeVar("T")


class EngineInUseError(SettingsError):
    """Another process has the embedded engine's folder open; the engine allows one."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            [
                f"CLICKHOUSE_URL: {path} cannot be opened, most likely because another process has it open; the"
                " embedded engine serves one process: stop the other, or name another path or a server"
            ]
        )


class ClickHouse:
    """Reading and writing off the event loop. Every method raises Unavailable when ClickHouse cannot be reached."""

    def __init__(
        self, *, writer: Client, readers: Sequence[Client], writing: Executor, reading: Executor, embedded: bool
    ) -> None:
        self.embedded = embedded  # nobody else can be using it
        self._writer = writer
        self._writing = writing
        self._reading = reading
        # As many as `reading` has threads, so that a thread never waits for a client.
        self._readers: SimpleQueue[Client] = SimpleQueue()
        for reader in readers:
            self._readers.put(reader)

    async def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> Sequence[Row]:
        """The rows of a read-only query; `{name:Type}` in it are bound from `parameters`.

        Raises ResourceExhausted (reason REPORT_TOO_LARGE) when it would take too long or too much memory.
        """

        def read() -> Sequence[Row]:
            client = self._readers.get()
            try:
                return client.query(sql, parameters=dict(parameters or {})).result_rows
            finally:
                self._readers.put(client)

        with db_calls.observed(_SYSTEM, "SELECT", text=sql):
            return await self._in(self._reading, read)

    async def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row], *, token: str) -> None:
        """Insert into the table and its views, each once for every `token` however often it is tried."""
        settings = {"insert_deduplication_token": token}

        def write() -> None:
            # As text: the client's own way of taking rows imports pandas, which costs a second and 40 MB.
            lines = "\n".join(json.dumps(row, default=_text) for row in rows)
            self._writer.raw_insert(table, columns, lines.encode(), settings=settings, fmt="JSONCompactEachRow")

        with db_calls.observed(_SYSTEM, "INSERT", target=table):
            await self._in(self._writing, write)

    async def command(self, sql: str, parameters: Mapping[str, object] | None = None) -> None:
        """Run one statement that changes the schema, or much of the data."""
        await self._in(self._writing, lambda: self._writer.command(sql, parameters=dict(parameters or {})))

    async def ping(self) -> None:
        """Raise Unavailable unless ClickHouse answers."""
        await self.query("SELECT 1")

    async def _in(self, threads: Executor, work: Callable[[], T]) -> T:
        with _told_to_the_caller():
            return await asyncio.get_running_loop().run_in_executor(threads, work)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[ClickHouse]:
    """Connect to `http(s)://user:password@host:port/database` or open `chdb:///path`, which is made if it is missing.

    Raises EngineInUseError when another process has the path open, and Unavailable when the server cannot be reached.
    """
    with ExitStack() as stack:
        writing = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="clickhouse-write"))
        reading = stack.enter_context(ThreadPoolExecutor(_READERS, thread_name_prefix="clickhouse-read"))

        def open_clients() -> tuple[Client, list[Client]]:
            writer = stack.enter_context(_client(url, _WRITE_SETTINGS))
            return writer, [stack.enter_context(_client(url, _READ_LIMITS | _READ_ONLY)) for _ in range(_READERS)]

        with _told_to_the_caller():
            writer, readers = await asyncio.get_running_loop().run_in_executor(writing, open_clients)
        yield ClickHouse(writer=writer, readers=readers, writing=writing, reading=reading, embedded=_is_embedded(url))
        # Before the clients close: what still runs in a thread uses one.
        reading.shutdown()
        writing.shutdown()


def _text(moment: object) -> str:
    """An instant as a DateTime64 column in UTC reads it."""
    assert isinstance(moment, datetime)
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "milliseconds")


@contextmanager
def _client(url: str, settings: Mapping[str, object]) -> Iterator[Client]:
    client = _embedded(url, settings) if _is_embedded(url) else _remote(url, settings)
    try:
        yield client
    finally:
        client.close()


def _is_embedded(url: str) -> bool:
    return urlsplit(url).scheme == "chdb"


def _remote(url: str, settings: Mapping[str, object]) -> Client:
    return clickhouse_connect.get_client(
        dsn=url,
        settings=dict(settings),
        autogenerate_session_id=False,
        # Thousands of ids do not fit into the URL.
        form_encode_query_params=True,
        connect_timeout=5,
        send_receive_timeout=30,
    )


def _embedded(url: str, settings: Mapping[str, object]) -> Client:
    path = Path(unquote(urlsplit(url).path))
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        return clickhouse_connect.get_client(
            interface="chdb", path=str(path), settings=dict(settings), chdb_options=_ENGINE_OPTIONS
        )
    except ProgrammingError as error:
        raise EngineInUseError(path) from error


@contextmanager
def _told_to_the_caller() -> Iterator[None]:
    """Turn what a caller can act on into our errors; anything else is a fault of ours and stays as it is."""
    try:
        yield
    except OperationalError as error:
        raise Unavailable("ClickHouse is not available", reason="CLICKHOUSE_UNAVAILABLE") from error
    except DatabaseError as error:
        if error.code in (_TIMEOUT_EXCEEDED, _MEMORY_LIMIT_EXCEEDED):
            raise ResourceExhausted(
                "the report takes too long or too much memory: ask for a shorter range", reason="REPORT_TOO_LARGE"
            ) from error
        raise
