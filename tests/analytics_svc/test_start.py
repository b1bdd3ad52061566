"""How the process starts, and how it does not."""

import asyncio
import sys

import pytest
from pydantic import ValidationError

from analytics_svc.settings import AnalyticsSettings
from svckit.local import Supervised

WRONG_SETTINGS = 2


async def exit_of(environment: dict[str, str]) -> tuple[int | None, str]:
    """The exit code of a service that ends by itself, and what it says on stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "analytics_svc", env=environment, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    return process.returncode, said.decode()


async def test_a_second_process_on_the_same_files_is_told_why_it_cannot_start(
    service: Supervised, environment: dict[str, str]
) -> None:
    code, said = await exit_of(environment)

    assert code == WRONG_SETTINGS
    # Above it is what the engine says by itself.
    told = said.splitlines()[-1]
    assert told.startswith("CLICKHOUSE_URL: ")
    assert "another process has it open" in told


@pytest.mark.parametrize("url", ["chdb://", "ftp://127.0.0.1/x", "127.0.0.1:8123", "http:///database"])
def test_a_wrong_url_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="must be http"):
        AnalyticsSettings(clickhouse_url=url)


async def test_production_wants_its_engines_named(environment: dict[str, str]) -> None:
    names = ["CLICKHOUSE_URL", "NATS_URL", "REDIS_URL"]
    bare = {name: value for name, value in environment.items() if name not in names}

    code, said = await exit_of(bare | {"CHATMESH_ENV": "production"})

    assert code == WRONG_SETTINGS
    assert said.splitlines() == [f"{name}: must be set in production" for name in names]
