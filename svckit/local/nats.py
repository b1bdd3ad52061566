"""NATS with JetStream as a child process, from its wheel."""

import json
import os
import shutil
import sysconfig
from pathlib import Path

from svckit.local import probes
from svckit.local.children import Program
from svckit.local.errors import NoEngine
from svckit.local.home import Home, write_private
from svckit.local.ports import LOOPBACK
from svckit.local.supervised import Supervised, start_on_free_ports

_USER = "mesh"


def find_nats() -> Path:
    """Find the server: beside this Python, where its wheel puts it, else on the PATH."""
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    if beside.exists():
        return beside
    if installed := shutil.which("nats-server"):
        return Path(installed)
    raise NoEngine("no NATS wheel for this platform: set NATS_URL to a server with JetStream, or install nats-server")


async def start_nats(home: Home, *, durable: bool) -> Supervised:
    """Start the server with file storage; `durable`: what it has acknowledged outlives a power cut."""
    program, data, password = find_nats(), home.folder("nats"), home.secret("nats")

    def server(port: int, monitor: int) -> Supervised:
        settings = {
            "listen": f"{LOOPBACK}:{port}",
            "http": f"{LOOPBACK}:{monitor}",
            "authorization": {"user": _USER, "password": password},
            # Left alone, it writes to the disk every two minutes only (nats-server#7564).
            "jetstream": {"store_dir": str(data), "sync_interval": "always" if durable else "2m"},
        }
        config = home.folder("run") / "nats.conf"
        write_private(config, json.dumps(settings, indent=2, ensure_ascii=False))  # JSON is also its own language
        return Supervised(
            Program(name="nats", command=(str(program), "-c", str(config)), environment={"PATH": os.defpath}),
            home=home,
            url=f"nats://{_USER}:{password}@{LOOPBACK}:{port}",
            ready=probes.answers(f"http://{LOOPBACK}:{monitor}/healthz?js-enabled-only=true"),
        )

    return await start_on_free_ports(home, ["nats", "nats-monitor"], server)
