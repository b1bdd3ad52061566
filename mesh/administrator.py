"""The administrator of the first start, made by the auth service's own command."""

import asyncio
import sys
from collections.abc import Mapping

from mesh.processes import CREATE_ADMIN
from svckit.local import Home
from svckit.local.home import write_private

FIRST = "admin@example.com"
_CREDENTIALS = "administrator.txt"


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
