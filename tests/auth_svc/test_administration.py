import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import grpc
import pytest
from chatmesh.auth.v1 import auth_pb2 as pb

from auth_svc import create_admin
from svckit.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from svckit.ids import new_id
from svckit.rpc.status import received
from tests.auth_svc.conftest import Auth, Start
from tests.auth_svc.person import PASSWORD, Person, bearer, refused
from tests.callers import refusal
from tests.waiting import until


@dataclass(frozen=True)
class Admin:
    """An administrator who is signed in."""

    auth: Auth
    person: Person
    id: str
    metadata: tuple[tuple[str, str], ...]

    async def update(self, user_id: str, **changes: object) -> pb.User:
        request = pb.UpdateUserRequest(user_id=user_id, **changes)  # type: ignore[arg-type]
        return (await self.auth.stub.UpdateUser(request, metadata=self.metadata)).user

    async def users(self, **request: object) -> pb.ListUsersResponse:
        return await self.auth.stub.ListUsers(pb.ListUsersRequest(**request), metadata=self.metadata)  # type: ignore[arg-type]

    async def audit_events(self, **request: object) -> pb.ListAuditEventsResponse:
        asked = pb.ListAuditEventsRequest(**request)  # type: ignore[arg-type]
        return await self.auth.stub.ListAuditEvents(asked, metadata=self.metadata)


async def new_admin(auth: Auth) -> Admin:
    person = auth.person()
    await create_admin.main(auth.settings, email=person.address, password=PASSWORD)
    signed_in = await person.sign_in()
    return Admin(auth, person, signed_in.user.id, bearer(signed_in.tokens.access_token))


@pytest.fixture
async def admin(auth: Auth) -> Admin:
    return await new_admin(auth)


@pytest.fixture
async def only_admin(start: Start, new_database: Callable[[], Awaitable[str]]) -> AsyncIterator[Admin]:
    async with start(database_url=await new_database()) as auth:
        yield await new_admin(auth)


async def test_accounts_are_found_by_a_part_of_address_or_name_and_come_in_pages(admin: Admin) -> None:
    auth = admin.auth
    mark = new_id()
    people = [Person(auth.stub, auth.inbox, address=f"p{n}.{mark}@example.com") for n in range(3)]
    named = auth.person()
    for person in people:
        await person.sign_up()
    await named.sign_up(name=f"Ada_{mark}")

    by_address = await admin.users(query=f".{mark.upper()}@", page_size=2)
    rest = await admin.users(query=f".{mark.upper()}@", page_size=2, page_token=by_address.next_page_token)
    by_name = await admin.users(query=f"ada_{mark}")

    found = [user.email for user in [*by_address.users, *rest.users]]
    assert found == [person.address for person in reversed(people)]
    assert rest.next_page_token == ""
    assert [user.email for user in by_name.users] == [named.address]
    assert (await admin.users(query=f"ada%{mark}")).users == []


async def test_one_account_is_looked_at_by_its_id(admin: Admin, person: Person) -> None:
    user = await person.register()

    request = pb.GetUserRequest(user_id=user.id)
    assert (await admin.auth.stub.GetUser(request, metadata=admin.metadata)).user == user
    for call in (
        admin.auth.stub.GetUser(pb.GetUserRequest(user_id=new_id()), metadata=admin.metadata),
        admin.update(new_id(), disabled=True),
    ):
        assert isinstance(await refusal(call), NotFound)


async def test_a_query_that_postgres_could_not_take_is_refused_by_field(admin: Admin) -> None:
    for call, field in (
        (admin.users(query="a\0b"), "query"),
        (admin.audit_events(type="a\0b"), "type"),
        (admin.audit_events(user_id="nobody"), "user_id"),
    ):
        error = await refusal(call)
        assert isinstance(error, InvalidArgument)
        assert error.violations[0].field == field


async def test_only_administrators_may(auth: Auth, person: Person) -> None:
    user = await person.register()
    own = bearer((await person.tokens()).access_token)

    for call in (
        auth.stub.ListUsers(pb.ListUsersRequest(), metadata=own),
        auth.stub.GetUser(pb.GetUserRequest(user_id=user.id), metadata=own),
        auth.stub.UpdateUser(pb.UpdateUserRequest(user_id=user.id, role=pb.ROLE_ADMIN), metadata=own),
        auth.stub.ListAuditEvents(pb.ListAuditEventsRequest(), metadata=own),
    ):
        assert isinstance(await refusal(call), PermissionDenied)


async def test_a_disabled_account_stops_working_with_its_sessions_and_keys_until_it_is_enabled(
    admin: Admin, person: Person
) -> None:
    auth = admin.auth
    user = await person.register()
    cookie, pair = await person.session_token(), await person.tokens()
    made = await auth.stub.CreateApiKey(pb.CreateApiKeyRequest(name="job"), metadata=bearer(pair.access_token))
    key = pb.ExchangeSessionRequest(api_key=made.secret)
    of_key = (await auth.as_edge.ExchangeSession(key)).access_token

    assert (await admin.update(user.id, disabled=True)).disabled

    for token in (pair.access_token, of_key):
        await until(lambda token=token: refused(auth.stub.GetMe(pb.GetMeRequest(), metadata=bearer(token))))  # type: ignore[misc]
    for request in (pb.ExchangeSessionRequest(session_token=cookie), key):
        assert await refused(auth.as_edge.ExchangeSession(request))
    assert await refused(auth.stub.RefreshToken(pb.RefreshTokenRequest(refresh_token=pair.refresh_token)))
    assert await refused(person.sign_in())
    assert not (await admin.update(user.id, disabled=False)).disabled
    assert await refused(auth.as_edge.ExchangeSession(pb.ExchangeSessionRequest(session_token=cookie)))
    again = (await auth.as_edge.ExchangeSession(key)).access_token
    assert (await auth.stub.GetMe(pb.GetMeRequest(), metadata=bearer(again))).user.id == user.id
    assert (await person.sign_in()).user.id == user.id


async def test_a_new_role_ends_the_tokens_that_tell_of_the_old_one(admin: Admin, person: Person) -> None:
    auth = admin.auth
    user = await person.register()
    before = (await person.tokens()).access_token

    assert (await admin.update(user.id, role=pb.ROLE_ANALYST)).role == pb.ROLE_ANALYST

    await until(lambda: refused(auth.stub.GetMe(pb.GetMeRequest(), metadata=bearer(before))))
    assert (await person.sign_in()).user.role == pb.ROLE_ANALYST


async def test_what_is_said_to_stay_as_it_is_ends_nothing(admin: Admin, person: Person) -> None:
    user = await person.register()
    token = (await person.tokens()).access_token

    assert await admin.update(user.id) == await admin.update(user.id, role=pb.ROLE_USER, disabled=False) == user

    assert (await admin.auth.stub.GetMe(pb.GetMeRequest(), metadata=bearer(token))).user == user
    assert (await admin.audit_events(user_id=user.id)).audit_events[0].type == "session.opened"


async def test_the_last_administrator_stays(only_admin: Admin) -> None:
    admin = only_admin
    person = admin.auth.person()
    user = await person.register()
    await admin.update(user.id, role=pb.ROLE_ADMIN)
    await admin.update(user.id, disabled=True)

    for call in (
        admin.update(admin.id, role=pb.ROLE_USER),
        admin.update(admin.id, disabled=True),
        admin.auth.stub.DeleteMe(pb.DeleteMeRequest(password=PASSWORD), metadata=admin.metadata),
    ):
        error = await refusal(call)
        assert (type(error), error.reason) == (FailedPrecondition, "LAST_ADMIN")

    assert (await admin.update(user.id, role=pb.ROLE_USER)).disabled
    assert (await admin.update(admin.id, role=pb.ROLE_ADMIN)).role == pb.ROLE_ADMIN


async def test_of_two_administrators_who_demote_each_other_at_once_one_stays(only_admin: Admin) -> None:
    other = await new_admin(only_admin.auth)

    outcomes = await asyncio.gather(
        only_admin.update(other.id, role=pb.ROLE_USER),
        other.update(only_admin.id, role=pb.ROLE_USER),
        return_exceptions=True,
    )

    (failure,) = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert isinstance(failure, grpc.aio.AioRpcError)
    assert received(failure).reason in ("LAST_ADMIN", "SESSION_REVOKED")


async def test_what_happened_to_an_account_is_listed_newest_first(admin: Admin, person: Person) -> None:
    user = await person.register()
    edge = Person(admin.auth.as_edge, admin.auth.inbox, person.address)
    browser = (("x-client-user-agent", "Browser/1"), ("x-client-ip", "192.0.2.7"))
    await refused(edge.sign_in(password="a guess", metadata=browser))
    await edge.sign_in(metadata=browser)
    await admin.update(user.id, role=pb.ROLE_ANALYST)

    found = (await admin.audit_events(user_id=user.id)).audit_events

    assert [event.type for event in found] == [
        "user.role_changed",
        "session.opened",
        "sign_in.failed",
        "user.verified",
    ]
    changed, opened = found[:2]
    assert (changed.detail, changed.actor_id, changed.user_id) == ("analyst", admin.id, user.id)
    assert (opened.ip_address, opened.user_agent, opened.actor_id) == ("192.0.2.7", "Browser/1", "")
    assert [
        event.type for event in (await admin.audit_events(user_id=user.id, type="session.opened")).audit_events
    ] == ["session.opened"]
    first = await admin.audit_events(user_id=user.id, page_size=3)
    second = await admin.audit_events(user_id=user.id, page_size=3, page_token=first.next_page_token)
    assert [*first.audit_events, *second.audit_events] == list(found)
