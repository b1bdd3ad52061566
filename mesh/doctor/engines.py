"""The engines: whether they answer, are recent enough, and are set as the services need them."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

import aiohttp
import nats.errors
import psycopg
from nats.aio.client import Client
from redis.asyncio import Redis
from redis.exceptions import RedisError

from mesh.doctor.finding import Unwell, refuse_other_time

_OLDEST_POSTGRES = 14
_SECONDS = 5
_PATIENCE = aiohttp.ClientTimeout(total=_SECONDS)
_MONITORING = 8222  # NATS' port for it, if nobody chose another
_POSTGRES = """
SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000, clock_timestamp(),
       EXISTS (SELECT FROM pg_available_extensions WHERE name = 'btree_gin')
"""


async def postgres(url: str) -> str:
    """Say its version; its clock and the extension that searching needs are looked at, too."""
    try:
        async with await psycopg.AsyncConnection.connect(url, connect_timeout=_SECONDS) as connection:
            row = await (await connection.execute(_POSTGRES)).fetchone()
    except psycopg.Error as error:
        raise Unwell(
            str(error).strip(), todo="DATABASE_URL: is it up, and are address, user, password and database right?"
        ) from None
    assert row is not None
    version, major, time, extension = row
    if major < _OLDEST_POSTGRES:
        raise Unwell(f"it is {version}", todo=f"upgrade it to {_OLDEST_POSTGRES} or newer")
    if not extension:
        raise Unwell("the extension btree_gin is not there", todo="install PostgreSQL's contrib package on its machine")
    refuse_other_time(time)
    return f"PostgreSQL {version}"


async def redis(url: str) -> str:
    """Say its version; a server that may throw keys away when it is full is refused."""
    try:
        async with Redis.from_url(url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS) as client:
            info = await client.info()
            seconds, _ = await client.time()
    except (RedisError, OSError) as error:
        raise Unwell(str(error), todo="REDIS_URL: is it up, and are address and password right?") from None
    if str(info.get("maxmemory_policy")).startswith("allkeys"):
        raise Unwell(
            f"it throws keys away when it is full ({info['maxmemory_policy']})",
            todo="CONFIG SET maxmemory-policy noeviction",
        )
    refuse_other_time(datetime.fromtimestamp(seconds, UTC))
    return f"{info.get('server_name', 'redis')} {info.get('valkey_version') or info['redis_version']}"


async def events(url: str, *, chosen: Mapping[str, object]) -> str:
    """Say the version of NATS, and what JetStream keeps, and how safely.

    `chosen` has the ports of the server that `chatmesh up` starts, in case this is that one.
    """
    client = Client()
    try:
        await client.connect(
            url.split(","),
            allow_reconnect=False,
            # Left alone, it asks a server that refuses for two minutes.
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=_SECONDS,
            error_cb=_unheard,
        )
        account = await client.jetstream().account_info()
        version, connected = client.connected_server_version, client.connected_url
    except (nats.errors.Error, OSError, TimeoutError) as error:
        said = str(error) or type(error).__name__
        raise Unwell(said, todo="NATS_URL: is it up, are user and password right, and is JetStream on?") from None
    finally:
        await client.close()
    assert connected is not None
    port = chosen["nats-monitor"] if connected.port == chosen.get("nats") else _MONITORING
    safely = await _how_safely(f"http://{connected.hostname}:{port}")
    return f"NATS {version.major}.{version.minor}.{version.patch}, JetStream with {account.streams} streams; {safely}"


async def _how_safely(monitoring: str) -> str:
    """Say what a power cut does; one server alone that writes to the disk every two minutes only is refused."""
    try:
        async with aiohttp.ClientSession(timeout=_PATIENCE) as http, http.get(f"{monitoring}/varz") as answer:
            told = await answer.json()
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return f"one server alone needs `sync_interval: always` ({monitoring} does not tell)"
    if told.get("cluster"):
        return "a cluster"
    if not told.get("jetstream", {}).get("config", {}).get("sync_always"):
        raise Unwell(
            "one server alone, and a power cut loses what it acknowledged in the last two minutes",
            todo="set `sync_interval: always` in the block `jetstream` of its configuration",
        )
    return "each event is on the disk"


async def clickhouse(url: str) -> str:
    """Say its version. The embedded engine is open in the analytics service alone, which is asked by itself."""
    parts = urlsplit(url)
    if parts.scheme == "chdb":
        return "embedded in the analytics service"
    user = aiohttp.BasicAuth(unquote(parts.username or "default"), unquote(parts.password or ""))
    where = parts._replace(netloc=parts.netloc.rpartition("@")[2], path="/", query="").geturl()
    query = {"query": "SELECT version(), toUnixTimestamp(now())", "database": parts.path.strip("/") or "default"}
    try:
        async with aiohttp.ClientSession(auth=user) as http, http.get(where, params=query) as answer:
            said = await answer.text()
    except aiohttp.ClientError as error:
        raise Unwell(str(error), todo="CLICKHOUSE_URL: is it up, and is its HTTP port (8123) the one named?") from None
    if answer.status != 200:
        raise Unwell(said[:300], todo="CLICKHOUSE_URL: are user, password and database right?")
    version, seconds = said.split()
    refuse_other_time(datetime.fromtimestamp(int(seconds), UTC))
    return f"ClickHouse {version}"


async def mail(url: str) -> str:
    """Greet the SMTP server."""
    parts = urlsplit(url)
    port = parts.port or (465 if parts.scheme == "smtps" else 25)
    try:
        _, writer = await asyncio.open_connection(parts.hostname, port)
    except OSError as error:
        raise Unwell(str(error), todo="SMTP_URL: is the mail server up, and may this machine reach it?") from None
    writer.close()
    return f"{parts.hostname}:{port} takes connections"


async def _unheard(_error: Exception) -> None:
    """What goes wrong is raised as well."""
