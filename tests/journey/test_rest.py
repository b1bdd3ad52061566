"""What a newcomer does, through real HTTP: from signing up to being refused after signing out."""

import asyncio
import json
import re
import uuid
from typing import Any

import aiohttp

from tests.journey.running import Mesh
from tests.waiting import PATIENCE, until

PASSWORD = "a long walk home"


async def browser(mesh: Mesh) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(mesh.url, cookie_jar=aiohttp.CookieJar(unsafe=True), raise_for_status=True)


async def post(http: aiohttp.ClientSession, path: str, **body: object) -> dict[str, Any]:
    async with http.post(path, json=body) as response:
        answer: dict[str, Any] = await response.json()
        return answer


async def get(http: aiohttp.ClientSession, path: str) -> dict[str, Any]:
    async with http.get(path) as response:
        answer: dict[str, Any] = await response.json()
        return answer


def token_in(mail: str) -> str:
    found = re.search(r"token=3D([\w-]+)|token=([\w-]+)", mail.replace("=\n", ""))
    assert found
    return found[1] or found[2]


async def total(admin: aiohttp.ClientSession, report: str, figure: str) -> int:
    rows = (await get(admin, f"/api/analytics/{report}"))["data"]
    return sum(row[figure] for row in rows)


async def change_and_cancel(http: aiohttp.ClientSession, subscription_id: str) -> None:
    """An upgrade for what its preview says, and a cancellation taken back, by both spellings of the paths."""
    short, long = f"/api/subscriptions/{subscription_id}", f"/api/billing/subscriptions/{subscription_id}"
    preview = await post(http, f"{short}:preview", planId="team")
    assert not preview["livemode"]
    for path in (short, long):  # with the key the second one is a repeat
        change = {"planId": "team", "previewToken": preview["previewToken"], "idempotencyKey": "once"}
        async with http.put(path, json=change) as response:
            assert (await response.json())["subscription"]["planId"] == "team"
    await chat_follows(http, "team")
    newest = (await get(http, "/api/billing/invoices"))["invoices"][0]
    assert newest["amountDue"]["amountMinor"] == "0"
    assert newest["total"] == preview["amountDue"]
    async with http.delete(long) as response:
        assert (await response.json())["subscription"]["cancelAtPeriodEnd"]
    assert not (await post(http, f"{long}:resume"))["subscription"]["cancelAtPeriodEnd"]
    async with http.delete(f"{short}?now=true") as response:
        assert (await response.json())["subscription"]["status"] == "SUBSCRIPTION_STATUS_CANCELED"
    await chat_follows(http, "free")


async def chat_follows(http: aiohttp.ClientSession, plan: str) -> None:
    """Wait until chat decides by the plan: only billing's event tells it, nothing asks."""

    async def followed() -> bool:
        usage: dict[str, object] = await get(http, "/api/chat/usage")
        return usage["plan"] == plan

    await until(followed)


async def test_the_journey_from_signing_up_to_signing_out(mesh: Mesh) -> None:
    email = f"ada-{uuid.uuid4().hex[:8]}@example.com"
    async with await browser(mesh) as http, await browser(mesh) as admin:
        address, password = mesh.administrator
        await post(admin, "/api/auth/signin", email=address, password=password)
        signups = await total(admin, "users/signups", "signups")
        messages = await total(admin, "chat/activity", "messages")

        await post(http, "/api/auth/signup", email=email, password=PASSWORD, name="Ada")
        await post(http, "/api/auth/verify-email", token=token_in(await mesh.mail_to(email)))
        await post(http, "/api/auth/signin", email=email, password=PASSWORD)
        assert (await get(http, "/api/auth/me"))["user"]["email"] == email

        conversation = (await post(http, "/api/conversations", title="The sky"))["conversation"]
        asked = {"conversationId": conversation["id"], "message": "Why is the sky blue?"}
        async with http.post("/api/chat", json=asked, headers={"Accept": "text/event-stream"}) as response:
            assert response.content_type == "text/event-stream"
            events = [json.loads(line[5:])["event"] async for line in response.content if line.startswith(b"data:")]
        assert [event["sequence"] for event in events] == [str(number) for number in range(len(events))]
        assert "messageStart" in events[0]
        assert "messageEnd" in events[-1]
        text = "".join(event["delta"]["text"] for event in events if "delta" in event)
        assert text

        path = f"/api/chat/generations/{events[0]['messageStart']['generationId']}/stream"
        async with http.get(path, headers={"Accept": "text/event-stream", "Last-Event-ID": "1"}) as response:
            lines = [line async for line in response.content]
        assert [line for line in lines if line.startswith(b"id:")] == [b"id: %d\n" % n for n in range(2, len(events))]

        listed = await get(http, f"/api/chat/conversations/{conversation['id']}/messages")
        assert [message["author"] for message in listed["messages"]] == ["AUTHOR_USER", "AUTHOR_ASSISTANT"]
        assert listed["messages"][1]["text"] == text

        assert {plan["id"] for plan in (await get(http, "/api/plans"))["plans"]} >= {"free", "pro", "team"}
        subscription = (await post(http, "/api/subscriptions", planId="pro"))["subscription"]
        assert subscription["status"] == "SUBSCRIPTION_STATUS_ACTIVE"
        assert (await get(http, "/api/billing/entitlements"))["entitlements"]["planId"] == "pro"
        await chat_follows(http, "pro")
        await change_and_cancel(http, subscription["id"])

        async with asyncio.timeout(PATIENCE):
            while await total(admin, "users/signups", "signups") <= signups:
                await asyncio.sleep(0.1)
            while await total(admin, "chat/activity", "messages") <= messages:
                await asyncio.sleep(0.1)
        [first, *_] = (await get(admin, "/api/analytics/users/funnel"))["data"]
        assert first["fromPrevious"] is None

        await post(http, "/api/auth/signout")
        async with http.get("/api/auth/me", raise_for_status=False) as refused:
            assert refused.status == 401


async def test_reports_are_for_analysts_only(mesh: Mesh) -> None:
    email = f"eve-{uuid.uuid4().hex[:8]}@example.com"
    async with await browser(mesh) as http:
        await post(http, "/api/auth/signup", email=email, password=PASSWORD)
        await post(http, "/api/auth/verify-email", token=token_in(await mesh.mail_to(email)))
        await post(http, "/api/auth/signin", email=email, password=PASSWORD)

        async with http.get("/api/analytics/users/signups", raise_for_status=False) as response:
            assert response.status == 403


async def test_everything_is_up(mesh: Mesh) -> None:
    async with await browser(mesh) as http:
        health = await get(http, "/health")

    assert {state["status"] for state in health["services"].values()} == {"up"}
