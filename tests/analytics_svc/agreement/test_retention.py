"""Single events may be deleted after a while; what they add up to stays."""

import asyncio
import sys

import pytest


@pytest.mark.usefixtures("year")
async def test_where_events_are_deleted_after_a_while_figures_are_not_made_anew_of_the_rest(
    year_environment: dict[str, str],
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "analytics_svc", "rebuild", env=year_environment, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()

    assert process.returncode == 1
    assert "raw events are deleted after a while" in said.decode()
