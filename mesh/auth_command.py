"""Commands of the auth service itself, for which this finds the engines."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

from mesh import settings, state
from svckit import local
from svckit.local import AlreadyRunning, Home


async def run(module: str, *arguments: str, given: Mapping[str, str], folder: Path) -> int:
    """Run `python -m module`: on the database that was given, beside a running mesh, or on engines started for it.

    Returns its exit code.
    """
    command = (module, *arguments)
    if given.get("DATABASE_URL"):
        return await _run(command, environment=given)
    try:
        async with Home.opened(folder) as home, local.engines(home, given=given) as engines:
            arranged = settings.arranged(given, home=home, engines=engines, smtp_url="", processes=())
            return await _run(command, environment={**given, **arranged})
    except AlreadyRunning:
        return await _run(command, environment={**given, **state.read(folder)})


async def _run(command: tuple[str, ...], *, environment: Mapping[str, str]) -> int:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", *command, env=dict(environment))
    return await process.wait()
