"""A Chromium without a window, driven through the DevTools protocol."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.waiting import PATIENCE

_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --remote-debugging-port=0"
)


def found() -> str | None:
    """The browser's path, if there is one on this machine."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    return os.environ.get("CHROMIUM") or next((path for name in names if (path := shutil.which(name))), None)


class Tab:
    """One page; `complaints` is what the browser wrote to its console about it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._calls = 0
        self.complaints: list[str] = []

    async def call(self, method: str, **parameters: object) -> Any:
        self._calls += 1
        await self._socket.send_json({"id": self._calls, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json()
            if message.get("id") == self._calls:
                assert "error" not in message, message
                return message["result"]
            if message["method"] in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.complaints.append(json.dumps(message["params"]))

    async def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, condition: str) -> None:
        end = asyncio.get_running_loop().time() + PATIENCE
        while not await self.run(condition):
            assert asyncio.get_running_loop().time() < end, await self.run(
                "document.querySelector('main:not([hidden])')?.innerText.slice(-1500)"
            )
            await asyncio.sleep(0.05)


@asynccontextmanager
async def tab(browser: str, profile: Path) -> AsyncIterator[Tab]:
    process = await asyncio.create_subprocess_exec(
        *(browser, *_FLAGS.split(), f"--user-data-dir={profile}", "about:blank"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with aiohttp.ClientSession() as http:
            opened = await http.put(f"http://127.0.0.1:{await _port(profile)}/json/new?about:blank")
            async with http.ws_connect((await opened.json())["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Tab(socket)
                # A page in the background refreshes nothing.
                await page.call("Page.bringToFront")
                for domain in ("Page", "Runtime", "Log"):
                    await page.call(f"{domain}.enable")
                yield page
    finally:
        process.kill()
        await process.wait()


async def _port(profile: Path) -> str:
    written = profile / "DevToolsActivePort"
    async with asyncio.timeout(PATIENCE):
        while not written.exists() or not written.read_text():
            await asyncio.sleep(0.05)
    return written.read_text().split()[0]
