"""Commands of the analytics service itself, for which this finds the mesh."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

from mesh import state


async def run(task: str, *, given: Mapping[str, str], folder: Path) -> int:
    """Run `python -m analytics_svc TASK` beside the running mesh, or where NATS_URL leads; returns its exit code.

    Raises LocalError when no mesh runs.
    """
    told = {} if given.get("NATS_URL") else state.of_running(folder, instead="NATS_URL")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "analytics_svc", task), env={**given, **told}
    )
    return await process.wait()
