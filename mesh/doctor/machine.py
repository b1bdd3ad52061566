"""The machine that asks: its Python, its disk, its ports, what its environment says."""

import asyncio
import json
import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from mesh import places
from mesh.doctor.finding import Unwell
from mesh.processes import Process
from svckit.local import LocalError

_OLDEST_PYTHON = (3, 11)
_NEEDED_BYTES = 1 << 30
# `module:class` of each process's settings, by its name.
SETTINGS = {
    "edge": "edge.settings:EdgeSettings",
    "auth": "auth_svc.settings:AuthSettings",
    "chat": "chat_svc.settings:ChatSettings",
    "billing": "billing_svc.settings:BillingSettings",
    "analytics": "analytics_svc.settings:AnalyticsSettings",
}


async def versions() -> str:
    """Say what runs here."""
    if sys.version_info < _OLDEST_PYTHON:
        raise Unwell(f"Python is {platform.python_version()}", todo="install Python 3.11 or newer, then `make install`")
    return f"chatmesh {version('chatmesh')}, Python {platform.python_version()}, {platform.platform()}"


async def disk(folder: Path) -> str:
    """Say how much room is left where the data is."""
    place = _existing(folder)
    free = shutil.disk_usage(place).free
    if free < _NEEDED_BYTES:
        raise Unwell(f"{free >> 20} MiB are left", todo=f"make room on the disk of {place}, or set CHATMESH_HOME")
    return f"{free >> 30} GiB are left"


async def ports(processes: Sequence[Process]) -> str:
    """Refuse ports that somebody else has."""
    try:
        places.refuse_taken(processes)
    except LocalError as error:
        said, _, todo = str(error).rpartition(": ")
        raise Unwell(said, todo=todo) from None
    return f"{sum(len(process.ports) for process in processes)} are free"


async def settings(environment: Mapping[str, str]) -> str:
    """Have each process's settings read this environment, in a process of its own; every problem is told."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "svckit.settings_check", *SETTINGS.values()),
        stdout=asyncio.subprocess.PIPE,
        env=dict(environment),
    )
    written, _ = await process.communicate()
    problems: Mapping[str, Sequence[str]] = json.loads(written)
    if lines := sorted({line for told in problems.values() for line in told}):
        raise Unwell("; ".join(lines), todo="set them in the environment or in .env; .env.example explains each")
    return (
        f"those of {', '.join(SETTINGS)} are right for CHATMESH_ENV={environment.get('CHATMESH_ENV') or 'development'}"
    )


def _existing(folder: Path) -> Path:
    """The folder, or where it would be made."""
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
