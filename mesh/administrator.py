"""Administrators: made by the auth service's own command, for which this finds the engines."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

from mesh import settings, state
from mesh.processes import CREATE_ADMIN
from svckit import local
from svckit.local import AlreadyRunning, Home
from svckit.local.home import write_private

FIRST = "admin@example.com"
_CREDENTIALS = "administrator.txt"


async def create(email: str, *, given: Mapping[str, str], folder: Path) -> int:
    """Run `chatmesh create-admin`: on the database that was given, beside a running mesh, or on engines started for it.

    Returns its exit code.
    """
    if given.get("DATABASE_URL"):
        return await _run(email, environment=given)
    try:
        async with Home.opened(folder) as home, local.engines(home, given=given) as engines:
            arranged = settings.arranged(given, home=home, engines=engines, smtp_url="", processes=())
            return await _run(email, environment={**given, **arranged})
    except AlreadyRunning:
        return await _run(email, environment={**given, **state.read(folder)})


async def create_first(home: Home, *, environment: Mapping[str, str], module: str = CREATE_ADMIN) -> str:
    """Make an administrator at the first start; returns what to tell the person, who finds it in the folder, too."""
    credentials = home.path / _CREDENTIALS
    if credentials.exists():
        return f"administrator: see {credentials}"
    password = home.secret("administrator")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, FIRST, "--password-stdin"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(environment),
    )
    written, _ = await process.communicate(password.encode())
    said = written.decode(errors="replace").rstrip()
    if process.returncode != 0:
        return f"no administrator was made:\n{said}"
    write_private(credentials, f"{FIRST}\n{password}\n")
    return f"{said}\nadministrator: {FIRST}, password {password} (also in {credentials})"


async def _run(email: str, *, environment: Mapping[str, str]) -> int:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", CREATE_ADMIN, email, env=dict(environment))
    return await process.wait()
