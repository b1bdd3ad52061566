"""`chatmesh migrate`: the tables of services brought up to date where DATABASE_URL and CLICKHOUSE_URL lead."""

import asyncio
import sys
from collections.abc import Mapping, Sequence

from mesh.processes import SERVICES
from svckit.local import LocalError

_ENGINE_OF = {name: "CLICKHOUSE_URL" if name == "analytics" else "DATABASE_URL" for name in SERVICES}


async def run(services: Sequence[str], *, given: Mapping[str, str]) -> int:
    """Migrate one service after the other, all of them if none is named; returns the first exit code that is not 0.

    Raises LocalError for an unknown service, and where an address is missing: under `make run` every service migrates
    itself.
    """
    if unknown := sorted(set(services) - set(SERVICES)):
        raise LocalError(f"{unknown[0]!r} is none of {', '.join(SERVICES)}")
    chosen = services or list(SERVICES)
    missing = sorted({_ENGINE_OF[name] for name in chosen} - {name for name, value in given.items() if value})
    if missing:
        raise LocalError(f"{' and '.join(missing)} must be set; under `make run` services migrate themselves")
    for name in chosen:
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", f"{name}_svc.migrate", env=dict(given))
        if code := await process.wait():
            return code
    return 0
