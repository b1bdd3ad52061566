"""`python -m mesh.health`, asked beside the admin port that services have."""

import asyncio

import pytest

from mesh import health
from svckit import admin


async def _failing() -> None:
    raise ConnectionError("the database is away")


async def test_a_process_is_asked_where_its_settings_say_that_it_listens(capsys: pytest.CaptureFixture[str]) -> None:
    codes = []
    for checks in ({}, {"postgres": _failing}):
        async with admin.serving(name="auth", listen="127.0.0.1:0", checks=checks) as url:
            port = url.rpartition(":")[2]
            codes += [await _asked({"ADMIN_LISTEN": f"0.0.0.0:{port}"}), await _asked({"EDGE_PORT": port})]
            codes += [await _asked({}, f"{url}/livez"), await _asked({}, f"{url}/nowhere")]

    assert codes == [0, 0, 0, 1, 1, 1, 0, 1]
    assert "503 not ready" in capsys.readouterr().err
    assert await _asked({"ADMIN_LISTEN": f"0.0.0.0:{port}"}) == 1


async def _asked(environment: dict[str, str], *arguments: str) -> int:
    return await asyncio.to_thread(health.main, arguments, environment)
