"""`chatmesh up` in a process of its own, as `make run` starts it, on ports that are free here."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from svckit.local import ports
from tests.waiting import PATIENCE

SERVICES = ("auth", "chat", "billing", "analytics")
_ADMIN_OFFSET = 6000
_READY = "chatmesh is up"
_UNLIMITED = {"RATE_LIMIT_PER_MINUTE": "0"}  # the tests here are one client, and in a hurry


@dataclass(frozen=True)
class Mesh:
    """A running mesh: the edge's URL, each service's gRPC address, and the data folder."""

    url: str
    addresses: dict[str, str]
    home: Path
    process: asyncio.subprocess.Process

    @property
    def administrator(self) -> tuple[str, str]:
        """Address and password of the one made at the first start."""
        email, password = (self.home / "administrator.txt").read_text().split()
        return email, password

    async def mail_to(self, address: str) -> str:
        """The newest mail to that address, as the catcher keeps it, once it is there."""
        async with asyncio.timeout(PATIENCE):
            while True:
                found = [mail.read_text() for mail in sorted((self.home / "mail").glob("*.eml"))]
                if mine := [mail for mail in found if address in mail]:
                    return mine[-1]
                await asyncio.sleep(0.05)


@asynccontextmanager
async def running(home: Path, **environment: str) -> AsyncIterator[Mesh]:
    """Start everything and stop it with Ctrl-C's signal, unless the block has ended it otherwise."""
    edge, *services = _free_ports()
    addresses = {name: f"127.0.0.1:{port}" for name, port in zip(SERVICES, services, strict=True)}
    told = {f"{name.upper()}_SERVICE_URL": address for name, address in addresses.items()}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mesh", "up"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "CHATMESH_HOME": str(home), "EDGE_PORT": str(edge), **_UNLIMITED, **told, **environment},
    )
    said: list[str] = []
    reading = asyncio.create_task(_read(process, said))
    try:
        await _until_ready(process, said)
        yield Mesh(f"http://127.0.0.1:{edge}", addresses, home, process)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await process.wait()
        await reading


async def _read(process: asyncio.subprocess.Process, said: list[str]) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        said.append(line.decode(errors="replace"))


async def _until_ready(process: asyncio.subprocess.Process, said: list[str]) -> None:
    async with asyncio.timeout(200):
        while not any(_READY in line for line in said):
            assert process.returncode is None, "".join(said)
            await asyncio.sleep(0.05)


def _free_ports() -> list[int]:
    """One for the edge, and for each service one whose admin port, 6000 above it, is free, too."""
    found: list[int] = []
    spoken_for: set[int] = set()
    while len(found) < 1 + len(SERVICES):
        port = ports.free_port(besides=spoken_for)
        admin = port + _ADMIN_OFFSET
        if admin in ports.PICKED and admin not in spoken_for and ports.is_free(admin):
            found.append(port)
            spoken_for |= {port, admin}
    return found
