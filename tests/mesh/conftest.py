"""Processes that stand in for the real ones: tiny modules that serve readiness and keep a journal of what happened."""

import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest

from mesh.processes import Process
from svckit import local

_FAKE = """
import http.server, os, signal, sys

name, journal = os.environ["NAME"], os.environ["JOURNAL"]

def note(what):
    with open(journal, "a") as file:
        file.write(f"{what} {name}\\n")

class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        note("ready")
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass

def stop(*_):
    note("stopped")
    os._exit(0)

note("started")
print(f"{name} has something to say", flush=True)
if name in os.environ.get("BROKEN", ""):
    sys.exit(f"{name} is out of order")
signal.signal(signal.SIGTERM, stop)
host, port = os.environ["LISTEN"].split(":")
http.server.ThreadingHTTPServer((host, int(port)), Ready).serve_forever()
"""


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[local.Home]:
    async with local.Home.opened(tmp_path / "mesh home") as home:
        yield home


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """What the stand-ins did, one line each: `started`, `ready` (asked and answered), `stopped`, and who."""
    journal = tmp_path / "journal"
    journal.touch()
    return journal


@pytest.fixture
def environment(tmp_path: Path, journal: Path) -> Mapping[str, str]:
    """What a stand-in needs to know; their module is `fake`."""
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "fake.py").write_text(_FAKE)
    return {"PYTHONPATH": ":".join([str(modules), *sys.path]), "JOURNAL": str(journal)}


@pytest.fixture
def fake() -> Callable[..., Process]:
    """Describe a stand-in by its name, its port and the names of those it needs."""

    def describe(name: str, port: int, *needs: str) -> Process:
        address = f"127.0.0.1:{port}"
        return Process(
            name=name,
            module="fake",
            ports=(port,),
            moved_by=f"{name.upper()}_PORT=",
            ready=f"http://{address}/readyz",
            about=f"http://{address}",
            needs=needs,
            environment={"NAME": name, "LISTEN": address},
        )

    return describe
