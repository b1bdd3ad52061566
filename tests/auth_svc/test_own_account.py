from collections.abc import AsyncIterator

import pytest
from chatmesh.auth.v1 import auth_pb2 as pb
from chatmesh.events.v1.events_pb2 import UserDeleted
from sqlalchemy import select, update

from auth_svc.models import AuditEvent, Session, User
from svckit import events
from svckit.errors import FailedPrecondition, InvalidArgument, Unauthenticated
from svckit.events import Bus
from svckit.postgres import Database
from tests.auth_svc.conftest import Auth
from tests.auth_svc.person import PASSWORD, Person, bearer, refused
from tests.callers import refusal
from tests.waiting import PATIENCE, until


async def rename(auth: Auth, access_token: str, **request: str) -> pb.User:
    return (await auth.stub.UpdateMe(pb.UpdateMeRequest(**request), metadata=bearer(access_token))).user


async def delete(auth: Auth, access_token: str, password: str = PASSWORD) -> pb.DeleteMeResponse:
    return await auth.stub.DeleteMe(pb.DeleteMeRequest(password=password), metadata=bearer(access_token))


async def test_people_change_their_name_and_nothing_changes_what_they_do_not_name(auth: Auth, person: Person) -> None:
    await person.register()
    token = (await person.tokens()).access_token

    renamed = await rename(auth, token, name=" Ada Lovelace ")
    unchanged = await rename(auth, token)
    unnamed = await rename(auth, token, name="")

    assert (renamed.name, unchanged.name, unnamed.name) == ("Ada Lovelace", "Ada Lovelace", "")


@pytest.mark.parametrize("name", ["a\0b", "a\nb", "x" * 101])
async def test_a_name_that_cannot_be_one_is_refused(auth: Auth, person: Person, name: str) -> None:
    await person.register()

    error = await refusal(rename(auth, (await person.tokens()).access_token, name=name))

    assert isinstance(error, InvalidArgument)
    assert error.violations[0].field == "name"


async def test_a_deleted_account_is_gone_with_all_that_proved_it(auth: Auth, person: Person) -> None:
    await person.register()
    cookie, other, own = await person.session_token(), await person.tokens(), await person.tokens()
    made = await auth.stub.CreateApiKey(pb.CreateApiKeyRequest(name="a program"), metadata=bearer(own.access_token))
    key = pb.ExchangeSessionRequest(api_key=made.secret)
    of_key = (await auth.as_edge.ExchangeSession(key)).access_token
    await auth.inbox.next_to(person.address)

    call = auth.stub.DeleteMe(pb.DeleteMeRequest(password=PASSWORD), metadata=bearer(own.access_token))
    await call

    assert str((await call.initial_metadata())["set-cookie"]).startswith("session=; Path=/; Max-Age=0;")
    for request in (pb.ExchangeSessionRequest(session_token=cookie), key):
        assert await refused(auth.as_edge.ExchangeSession(request))
    for token in (own.access_token, other.access_token, of_key):
        await until(lambda token=token: _revoked(auth, token))  # type: ignore[misc]
    assert await refused(auth.stub.RefreshToken(pb.RefreshTokenRequest(refresh_token=other.refresh_token)))
    assert await refused(person.sign_in())
    assert (await auth.inbox.next_to(person.address))["Subject"] == "Your account was deleted"


async def _revoked(auth: Auth, access_token: str) -> bool:
    """Not only that there is no such account: every service has heard of it."""
    error = await refusal(auth.stub.GetMe(pb.GetMeRequest(), metadata=bearer(access_token)))
    return error.reason == "SESSION_REVOKED"


async def test_whoever_deleted_an_account_may_begin_again(auth: Auth, person: Person) -> None:
    before = await person.register()
    await delete(auth, (await person.tokens()).access_token)
    await auth.inbox.next_to(person.address)

    after = await person.register()

    assert after.id != before.id
    assert (await person.sign_in()).user == after


async def test_deletion_asks_for_the_password_again(auth: Auth, person: Person) -> None:
    await person.register()
    token = (await person.tokens()).access_token

    for wrong in ("", "not the password"):
        error = await refusal(delete(auth, token, wrong))
        assert (type(error), error.reason) == (Unauthenticated, "CREDENTIALS_INVALID")

    assert (await person.sign_in()).user.email == person.address


async def test_an_account_without_a_password_needs_a_session_that_was_opened_just_now(
    auth: Auth, person: Person, database: Database
) -> None:
    user = await person.register()
    stale, fresh = await person.tokens(), await person.tokens()
    async with database.transaction() as session:
        await session.execute(update(User).where(User.id == user.id).values(password_hash=None))
        (first, _) = (
            await session.scalars(select(Session).where(Session.user_id == user.id).order_by(Session.id))
        ).all()
        first.created_at = first.created_at.replace(year=first.created_at.year - 1)

    error = await refusal(delete(auth, stale.access_token, ""))
    assert (type(error), error.reason) == (FailedPrecondition, "SIGN_IN_AGAIN")
    await delete(auth, fresh.access_token, "")


@pytest.fixture
async def bus(auth: Auth) -> AsyncIterator[Bus]:
    async with events.connected(auth.settings.nats_url) as connected:
        yield connected


async def test_the_other_services_are_told_of_a_deletion_and_the_audit_log_keeps_it(
    auth: Auth, person: Person, bus: Bus, database: Database
) -> None:
    stream = await bus.jetstream()
    subscription = await stream.subscribe("ev.auth.user.deleted", ordered_consumer=True)
    user = await person.register()
    await delete(auth, (await person.tokens()).access_token)

    while (event := events.received(await subscription.next_msg(timeout=PATIENCE))).about != user.id:
        pass
    await subscription.unsubscribe()
    async with database.transaction() as session:
        of_user = select(AuditEvent.type).where(AuditEvent.user_id == user.id)
        noted = (await session.scalars(of_user.order_by(AuditEvent.id))).all()

    assert events.unpack(event) == UserDeleted(user_id=user.id)
    assert noted == ["user.verified", "session.opened", "user.deleted"]
