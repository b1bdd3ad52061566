"""One trace for all that a request sets in motion, as `/console/traces` shows it."""

import json
import re

import aiohttp

from tests.journey.running import Mesh
from tests.journey.test_rest import PASSWORD, browser, post, token_in
from tests.waiting import until

# Of each way out of a process, one span that a message and a subscription must leave.
_OF_A_MESSAGE = (
    "edge POST /api/chat",
    "edge chatmesh.chat.v1.ChatService/StreamMessage",
    "chat chatmesh.chat.v1.ChatService/StreamMessage",
    "chat INSERT chat.messages",
    "chat EVALSHA",
    "chat chat smollm2-135m cancelled",
    "chat send chat.outbox",
    "analytics process analytics",
    "analytics INSERT events",
)
_OF_A_CLIENT_THAT_LEAVES = (
    "edge POST /api/chat client_disconnected",
    "edge chatmesh.chat.v1.ChatService/StreamMessage CANCELLED",
    "chat chatmesh.chat.v1.ChatService/StreamMessage CANCELLED",
)
_OF_A_SUBSCRIPTION = (
    "edge POST /api/subscriptions",
    "billing chatmesh.billing.v1.BillingService/CreateSubscription",
    "billing POST",
    "billing INSERT billing.subscriptions",
    "analytics INSERT events",
)


async def test_one_trace_shows_all_that_a_request_sets_in_motion_and_nothing_secret(mesh: Mesh) -> None:
    email = "tracy@example.com"
    async with await browser(mesh) as http:
        await post(http, "/api/auth/signup", email=email, password=PASSWORD, name="Tracy")
        await post(http, "/api/auth/verify-email", token=token_in(await mesh.mail_to(email)))
        await post(http, "/api/auth/signin", email=email, password=PASSWORD)
        await _ask(http, "Say hush-hush.", request_id="trace-a-message")
        await _ask(http, "And again.", request_id="trace-a-leaver", leave=True)
        async with http.post("/api/subscriptions", json={"planId": "pro"}, headers={"X-Request-Id": "trace-a-sale"}):
            pass

        message = await _shown(http, "trace-a-message", _OF_A_MESSAGE)
        await _shown(http, "trace-a-leaver", _OF_A_CLIENT_THAT_LEAVES)
        sale = await _shown(http, "trace-a-sale", _OF_A_SUBSCRIPTION)
        (session,) = [cookie.value for cookie in http.cookie_jar if cookie.key == "session"]

    logs = "".join(path.read_text() for path in (mesh.home / "logs").glob("*.log"))
    assert "StreamMessage" in logs
    for secret in ("hush-hush", PASSWORD, email, session):
        assert secret not in message + sale
        assert secret not in logs


async def _ask(http: aiohttp.ClientSession, message: str, *, request_id: str, leave: bool = False) -> None:
    """Ask, and cancel the answer after its first words, if need be after leaving: the model is real, and slow."""
    headers = {"Accept": "text/event-stream", "X-Request-Id": request_id}
    async with http.post("/api/chat", json={"message": message}, headers=headers) as response:
        async for line in response.content:
            if line.startswith(b"data:") and "messageStart" in (event := json.loads(line[5:])["event"]):
                generation = event["messageStart"]["generationId"]
            if b"delta" in line:
                if leave:
                    response.close()
                await post(http, f"/api/chat/generations/{generation}:cancel")
                if leave:
                    return


async def _shown(http: aiohttp.ClientSession, request_id: str, names: tuple[str, ...]) -> str:
    """The waterfall of that request, once it shows all of these."""
    seen: list[str] = []

    async def whole() -> bool:
        text = await _waterfall(http, request_id)
        words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))
        seen[:] = [text]
        return all(name in words for name in names)

    await until(whole)
    return seen[0]


async def _waterfall(http: aiohttp.ClientSession, request_id: str) -> str:
    async with http.get("/console/traces", params={"q": request_id}) as response:
        found = re.search(r"trace=([0-9a-f]{32})", await response.text())
    if found is None:
        return ""
    async with http.get("/console/traces", params={"trace": found[1]}) as response:
        return await response.text()
