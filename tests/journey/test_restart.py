"""What stays when the whole mesh is killed, stopped and started again."""

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
from yarl import URL

from tests.journey.running import running
from tests.journey.test_rest import PASSWORD, browser, get, post, token_in
from tests.waiting import PATIENCE

EMAIL = "ada@example.com"


async def test_a_killed_mesh_leaves_no_process_and_starts_again_with_everything(tmp_path: Path) -> None:
    home = tmp_path / "häuslich & kühl"
    async with running(home, LOCAL_MODEL_URL="http://127.0.0.1:1/v1") as mesh:
        async with await browser(mesh) as http:
            await post(http, "/api/auth/signup", email=EMAIL, password=PASSWORD)
            await post(http, "/api/auth/verify-email", token=token_in(await mesh.mail_to(EMAIL)))
            await post(http, "/api/auth/signin", email=EMAIL, password=PASSWORD)
            await post(http, "/api/conversations", title="Before")
            jar = http.cookie_jar.filter_cookies(URL(mesh.url))
        mesh.process.kill()
        await mesh.process.wait()

    await _nothing_runs_in(home)
    async with running(home, LOCAL_MODEL_URL="http://127.0.0.1:1/v1") as mesh:
        async with aiohttp.ClientSession(mesh.url, cookies={name: jar[name].value for name in jar}) as http:
            listed = await get(http, "/api/conversations")
        mesh.process.send_signal(signal.SIGINT)
        assert await mesh.process.wait() == 0

    assert [conversation["title"] for conversation in listed["conversations"]] == ["Before"]
    await _nothing_runs_in(home)


async def _nothing_runs_in(home: Path) -> None:
    """Wait until no process is left that was told of this data folder."""
    async with asyncio.timeout(PATIENCE):
        while _told_of(home):
            await asyncio.sleep(0.1)


def _told_of(home: Path) -> list[int]:
    marker = f"CHATMESH_HOME={home}\0".encode()
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            if marker in (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:  # it has just ended
            continue
    return found
