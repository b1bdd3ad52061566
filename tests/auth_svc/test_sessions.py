from datetime import datetime, timedelta

import pytest
from chatmesh.auth.v1 import auth_pb2 as pb
from sqlalchemy import select

from auth_svc.models import Session, User
from svckit.errors import Unauthenticated
from svckit.postgres import Database
from tests.auth_svc.conftest import Auth, MovedClock, Start
from tests.auth_svc.person import Person, bearer, refused
from tests.callers import refusal


async def exchange(auth: Auth, session_token: str) -> pb.ExchangeSessionResponse:
    return await auth.as_edge.ExchangeSession(pb.ExchangeSessionRequest(session_token=session_token))


async def test_the_edge_turns_a_cookie_into_a_token_of_the_same_session(auth: Auth, person: Person) -> None:
    user = await person.register()
    cookie = await person.session_token()

    first, second = await exchange(auth, cookie), await exchange(auth, cookie)

    me = await auth.stub.GetMe(pb.GetMeRequest(), metadata=bearer(first.access_token))
    assert me.user == user
    assert first.session_id == second.session_id
    assert first.access_token != second.access_token


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (pb.ExchangeSessionRequest(session_token="made up"), "SESSION_INVALID"),
        (pb.ExchangeSessionRequest(session_token=""), "SESSION_INVALID"),
        (pb.ExchangeSessionRequest(api_key="sk_live_made_up"), "API_KEY_INVALID"),
    ],
)
async def test_what_is_no_session_is_refused(auth: Auth, request_: pb.ExchangeSessionRequest, reason: str) -> None:
    error = await refusal(auth.as_edge.ExchangeSession(request_))

    assert (type(error), error.reason) == (Unauthenticated, reason)


async def test_only_a_service_may_exchange_sessions(auth: Auth, person: Person) -> None:
    await person.register()
    cookie = await person.session_token()
    metadata = bearer((await person.sign_in()).tokens.access_token)

    request = pb.ExchangeSessionRequest(session_token=cookie)
    assert await refused(auth.stub.ExchangeSession(request))
    assert await refused(auth.stub.ExchangeSession(request, metadata=metadata))


async def test_signing_out_ends_this_session_and_no_other(auth: Auth, person: Person) -> None:
    await person.register()
    kept, ended = await person.session_token(), await person.session_token()
    token = (await exchange(auth, ended)).access_token

    await auth.stub.SignOut(pb.SignOutRequest(), metadata=bearer(token))

    assert await refused(exchange(auth, ended))
    assert (await exchange(auth, kept)).access_token


async def test_a_session_ends_a_week_after_its_last_use(start: Start) -> None:
    clock = MovedClock()
    async with start(clock=clock) as auth:
        person = auth.person()
        await person.register()
        used, unused = await person.session_token(), await person.session_token()

        clock.ahead = timedelta(days=5)
        await exchange(auth, used)
        clock.ahead = timedelta(days=8)

        assert (await exchange(auth, used)).access_token
        assert await refused(exchange(auth, unused))


async def test_a_session_ends_after_thirty_days_however_much_it_is_used(start: Start) -> None:
    clock = MovedClock()
    async with start(clock=clock) as auth:
        person = auth.person()
        await person.register()
        cookie = await person.session_token()
        for days in range(5, 30, 5):
            clock.ahead = timedelta(days=days)
            await exchange(auth, cookie)
        clock.ahead = timedelta(days=30, seconds=-60)
        last = await exchange(auth, cookie)
        issued = clock()

        assert last.expire_time.ToDatetime(issued.tzinfo) - issued <= timedelta(seconds=60)
        clock.ahead = timedelta(days=30, seconds=1)
        assert await refused(exchange(auth, cookie))


async def test_use_is_written_down_once_a_minute_at_most(start: Start) -> None:
    clock = MovedClock()
    async with start(clock=clock) as auth, auth.tables() as database:
        person = auth.person()
        user = await person.register()
        cookie = await person.session_token()
        seen = [await _last_seen(database, user.id)]
        for seconds in (50, 70, 110, 140):
            clock.ahead = timedelta(seconds=seconds)
            await exchange(auth, cookie)
            seen.append(await _last_seen(database, user.id))

    opened, at_50, at_70, at_110, at_140 = seen
    assert opened == at_50 < at_70 == at_110 < at_140


async def _last_seen(database: Database, user_id: str) -> datetime:
    async with database.transaction() as session:
        return (await session.scalars(select(Session.last_seen_at).where(Session.user_id == user_id))).one()


async def test_sessions_of_a_disabled_account_count_no_more(auth: Auth, person: Person, database: Database) -> None:
    registered = await person.register()
    cookie = await person.session_token()
    metadata = bearer((await exchange(auth, cookie)).access_token)
    async with database.transaction() as session:
        user = (await session.scalars(select(User).where(User.id == registered.id))).one()
        user.disabled_at = user.created_at

    assert await refused(exchange(auth, cookie))
    assert await refused(auth.stub.GetMe(pb.GetMeRequest(), metadata=metadata))
