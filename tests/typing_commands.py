"""Typing `chatmesh …`, as an operator does."""

import asyncio
import os
import sys
from pathlib import Path


async def typed(*arguments: str, folder: Path, **environment: str) -> tuple[int | None, str, str]:
    """Exit code, standard output and standard error of the command, with this data folder and nothing else set."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mesh", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.defpath, "CHATMESH_HOME": str(folder), **environment},
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()
