from collections.abc import AsyncIterator

import pytest
from chatmesh.auth.v1 import auth_pb2 as pb
from chatmesh.events.v1.events_pb2 import UserRegistered, UserSignedIn, UserVerified
from google.protobuf.message import Message

from svckit import events
from svckit.events import Bus
from tests.auth_svc.conftest import Auth
from tests.auth_svc.person import Person
from tests.waiting import PATIENCE


@pytest.fixture
async def bus(auth: Auth) -> AsyncIterator[Bus]:
    async with events.connected(auth.settings.nats_url) as connected:
        yield connected


async def test_other_services_hear_of_each_fact_once(auth: Auth, person: Person, bus: Bus) -> None:
    stream = await bus.jetstream()
    subscription = await stream.subscribe("ev.auth.user.>", ordered_consumer=True)
    await person.sign_up()
    await person.mailed_token()
    await person.sign_up()
    user = await person.verify(await person.mailed_token())
    await auth.stub.ForgotPassword(pb.ForgotPasswordRequest(email=person.address))
    await auth.stub.ResetPassword(
        pb.ResetPasswordRequest(token=await person.mailed_token(), password="another password")
    )
    await person.sign_in(password="another password")

    told: list[Message] = []
    while not any(isinstance(fact, UserSignedIn) for fact in told):
        event = events.received(await subscription.next_msg(timeout=PATIENCE))
        if event.about == user.id:
            assert event.source == "auth"
            told.append(events.unpack(event))
    await subscription.unsubscribe()

    assert [type(fact) for fact in told] == [UserRegistered, UserVerified, UserSignedIn]
    assert all(fact.user_id == user.id for fact in told)  # type: ignore[attr-defined]
