"""What is left of somebody who has deleted their account: invoices, and nothing else that they made."""

import json
import uuid

import psycopg

from tests.journey.running import Mesh
from tests.journey.test_rest import PASSWORD, browser, get, post, token_in
from tests.waiting import until


async def test_a_deleted_account_takes_its_conversations_and_its_subscription_along(mesh: Mesh) -> None:
    email = f"leaving-{uuid.uuid4().hex[:8]}@example.com"
    async with await browser(mesh) as http:
        await post(http, "/api/auth/signup", email=email, password=PASSWORD)
        await post(http, "/api/auth/verify-email", token=token_in(await mesh.mail_to(email)))
        await post(http, "/api/auth/signin", email=email, password=PASSWORD)
        user_id = (await get(http, "/api/auth/me"))["user"]["id"]
        await post(http, "/api/conversations", title="Private")
        await post(http, "/api/subscriptions", planId="pro")
        async with http.delete("/api/auth/me", json={"password": PASSWORD}) as deleted:
            assert deleted.status == 200
        async with http.get("/api/conversations", raise_for_status=False) as refused:
            assert refused.status == 401

    url = json.loads((mesh.home / "state.json").read_text())["DATABASE_URL"]
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:

        async def left() -> list[object]:
            rows = await connection.execute(
                """SELECT (SELECT count(*) FROM auth.users WHERE id = %(id)s),
                          (SELECT count(*) FROM chat.conversations WHERE owner_id = %(id)s::text),
                          (SELECT status FROM billing.subscriptions WHERE user_id = %(id)s),
                          (SELECT count(*) FROM billing.invoices WHERE user_id = %(id)s)""",
                {"id": user_id},
            )
            return [*(await rows.fetchone() or ())]

        async def gone() -> bool:
            return await left() == [0, 0, "canceled", 1]

        await until(gone)
