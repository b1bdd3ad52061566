"""The same journey for an internal program: bare stubs, the user's token, and any gRPC client by reflection."""

import asyncio
import json
import os
import shutil
import sys
import uuid
from pathlib import Path

import grpc
import pytest
from chatmesh.analytics.v1 import analytics_pb2, analytics_pb2_grpc
from chatmesh.auth.v1 import auth_pb2, auth_pb2_grpc
from chatmesh.billing.v1 import billing_pb2, billing_pb2_grpc
from chatmesh.chat.v1 import chat_pb2, chat_pb2_grpc

from tests.journey.running import Mesh
from tests.journey.test_rest import PASSWORD, token_in
from tests.waiting import PATIENCE


async def sign_in(auth: "auth_pb2_grpc.AuthServiceAsyncStub", email: str, password: str) -> grpc.aio.Metadata:
    answer = await auth.SignIn(auth_pb2.SignInRequest(email=email, password=password))
    return grpc.aio.Metadata(("authorization", f"Bearer {answer.tokens.access_token}"))


async def test_the_journey_over_bare_stubs(mesh: Mesh) -> None:
    email = f"grace-{uuid.uuid4().hex[:8]}@example.com"
    async with (
        grpc.aio.insecure_channel(mesh.addresses["auth"]) as to_auth,
        grpc.aio.insecure_channel(mesh.addresses["chat"]) as to_chat,
        grpc.aio.insecure_channel(mesh.addresses["billing"]) as to_billing,
        grpc.aio.insecure_channel(mesh.addresses["analytics"]) as to_analytics,
    ):
        auth = auth_pb2_grpc.AuthServiceStub(to_auth)
        chat = chat_pb2_grpc.ChatServiceStub(to_chat)
        billing = billing_pb2_grpc.BillingServiceStub(to_billing)
        analytics = analytics_pb2_grpc.AnalyticsServiceStub(to_analytics)
        admin = await sign_in(auth, *mesh.administrator)

        async def counted() -> tuple[int, int]:
            signups = await analytics.GetSignups(analytics_pb2.GetSignupsRequest(), metadata=admin)
            activity = await analytics.GetChatActivity(analytics_pb2.GetChatActivityRequest(), metadata=admin)
            return sum(row.signups for row in signups.data), sum(row.messages for row in activity.data)

        before = await counted()
        await auth.SignUp(auth_pb2.SignUpRequest(email=email, password=PASSWORD))
        await auth.VerifyEmail(auth_pb2.VerifyEmailRequest(token=token_in(await mesh.mail_to(email))))
        me = await sign_in(auth, email, PASSWORD)

        asked = chat_pb2.StreamMessageRequest(message="Name a colour.")
        events = [answer.event async for answer in chat.StreamMessage(asked, metadata=me)]
        assert events[0].HasField("message_start")
        assert events[-1].HasField("message_end")
        conversation_id = events[0].message_start.conversation_id
        listed = await chat.ListMessages(chat_pb2.ListMessagesRequest(conversation_id=conversation_id), metadata=me)
        assert len(listed.messages) == 2

        assert len((await billing.ListPlans(billing_pb2.ListPlansRequest())).plans) == 3
        subscribed = await billing.CreateSubscription(
            billing_pb2.CreateSubscriptionRequest(plan_id="team"), metadata=me
        )
        assert subscribed.subscription.status == billing_pb2.SUBSCRIPTION_STATUS_ACTIVE

        async with asyncio.timeout(PATIENCE):
            while not all(now > then for now, then in zip(await counted(), before, strict=True)):
                await asyncio.sleep(0.1)

        await auth.SignOut(auth_pb2.SignOutRequest(), metadata=me)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await auth.GetMe(auth_pb2.GetMeRequest(), metadata=me)
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED


async def test_a_program_without_stubs_calls_by_reflection(mesh: Mesh) -> None:
    answer = await _buf_curl(f"http://{mesh.addresses['billing']}/chatmesh.billing.v1.BillingService/ListPlans")

    assert {plan["id"] for plan in json.loads(answer)["plans"]} == {"free", "pro", "team"}


async def test_a_program_exchanges_a_session_with_its_service_token_and_calls_as_that_user(mesh: Mesh) -> None:
    """What the README shows."""
    email, password = mesh.administrator
    async with grpc.aio.insecure_channel(mesh.addresses["auth"]) as channel:
        call = auth_pb2_grpc.AuthServiceStub(channel).SignIn(auth_pb2.SignInRequest(email=email, password=password))
        cookie = str((await call.initial_metadata())["set-cookie"]).partition(";")[0].removeprefix("session=")
    token = await _output(sys.executable, "-m", "mesh", "service-token", "reports", CHATMESH_HOME=str(mesh.home))

    exchange = f"http://{mesh.addresses['auth']}/chatmesh.auth.v1.AuthService/ExchangeSession"
    header = f"x-service-authorization: Bearer {token.strip()}"
    exchanged = json.loads(await _buf_curl("-H", header, "-d", json.dumps({"sessionToken": cookie}), exchange))
    header = f"authorization: Bearer {exchanged['accessToken']}"
    me = json.loads(
        await _buf_curl("-H", header, f"http://{mesh.addresses['auth']}/chatmesh.auth.v1.AuthService/GetMe")
    )

    assert me["user"]["email"] == email


async def _buf_curl(*arguments: str) -> str:
    buf = shutil.which("buf", path=str(Path(sys.executable).parent))
    assert buf
    return await _output(buf, "curl", "--protocol", "grpc", "--http2-prior-knowledge", *arguments)


async def _output(*command: str, **environment: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, env={**os.environ, **environment}
    )
    written, _ = await process.communicate()
    assert process.returncode == 0
    return written.decode()
