import asyncio
from datetime import timedelta

import pytest
from chatmesh.auth.v1 import auth_pb2 as pb
from sqlalchemy import select

from auth_svc.models import AuditEvent, RefreshToken, Session
from svckit.errors import Unauthenticated
from tests.auth_svc.conftest import Auth, MovedClock, Start
from tests.auth_svc.person import Person, bearer, refused
from tests.callers import refusal
from tests.waiting import until


async def refresh(auth: Auth, token: str) -> pb.TokenPair:
    return (await auth.stub.RefreshToken(pb.RefreshTokenRequest(refresh_token=token))).tokens


async def works(auth: Auth, access_token: str) -> bool:
    return not await refused(auth.stub.GetMe(pb.GetMeRequest(), metadata=bearer(access_token)))


async def test_a_refresh_token_gives_the_next_tokens_of_the_same_session(auth: Auth, person: Person) -> None:
    await person.register()
    first = await person.tokens()

    second = await refresh(auth, first.refresh_token)
    third = await refresh(auth, second.refresh_token)

    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert all([await works(auth, pair.access_token) for pair in (first, second, third)])
    sessions = await auth.stub.ListSessions(pb.ListSessionsRequest(), metadata=bearer(third.access_token))
    assert [session.current for session in sessions.sessions] == [True]


async def test_refreshes_at_once_all_get_the_same_successor_and_sign_nobody_out(start: Start) -> None:
    """As the tabs of one browser do it, on two replicas."""
    async with start() as one, start() as other:
        person = one.person()
        await person.register()
        first = await person.tokens()

        pairs = await asyncio.gather(*(refresh(auth, first.refresh_token) for auth in (one, other) for _ in range(20)))

        assert len({pair.refresh_token for pair in pairs}) == 1
        assert await works(other, (await refresh(one, pairs[0].refresh_token)).access_token)


async def test_a_repeat_within_half_a_minute_gets_the_same_successor_even_when_that_was_used(start: Start) -> None:
    clock = MovedClock()
    async with start(clock=clock) as auth:
        person = auth.person()
        await person.register()
        first = await person.tokens()
        second = await refresh(auth, first.refresh_token)
        third = await refresh(auth, second.refresh_token)

        clock.ahead = timedelta(seconds=25)
        again = await refresh(auth, first.refresh_token)

        assert again.refresh_token == second.refresh_token
        assert await works(auth, third.access_token)


async def test_later_reuse_ends_the_session_for_both_and_its_owner_is_told(start: Start) -> None:
    clock = MovedClock()
    async with start(clock=clock) as auth:
        person = auth.person()
        user = await person.register()
        stolen = await person.tokens()
        other_device = await person.tokens()
        current = await refresh(auth, stolen.refresh_token)
        clock.ahead = timedelta(seconds=31)

        error = await refusal(refresh(auth, stolen.refresh_token))

        assert (type(error), error.reason) == (Unauthenticated, "REFRESH_TOKEN_INVALID")
        assert await refused(refresh(auth, current.refresh_token))
        await until(lambda: refused(auth.stub.GetMe(pb.GetMeRequest(), metadata=bearer(current.access_token))))
        assert await works(auth, other_device.access_token)
        assert (await auth.inbox.next_to(person.address))["Subject"] == "A device was signed out"
    async with auth.tables() as database, database.transaction() as session:
        noted = await session.scalars(
            select(AuditEvent.type).where(AuditEvent.user_id == user.id).order_by(AuditEvent.id)
        )
    assert noted.all() == ["user.verified", "session.opened", "session.opened", "refresh_token.reused"]


async def test_reuse_by_many_at_once_is_told_once(start: Start) -> None:
    clock = MovedClock()
    async with start(clock=clock) as auth:
        person = auth.person()
        await person.register()
        first = await person.tokens()
        await refresh(auth, first.refresh_token)
        clock.ahead = timedelta(seconds=31)

        assert all(await asyncio.gather(*(refused(refresh(auth, first.refresh_token)) for _ in range(10))))

        await auth.inbox.next_to(person.address)
        await auth.stub.ForgotPassword(pb.ForgotPasswordRequest(email=person.address))
        assert (await auth.inbox.next_to(person.address))["Subject"] == "Choose a new password"


async def test_a_refresh_token_ends_a_week_after_it_was_given_and_its_session_after_thirty_days(start: Start) -> None:
    clock = MovedClock()
    async with start(clock=clock) as auth:
        person = auth.person()
        await person.register()
        idle, pair = await person.tokens(), await person.tokens()
        for days in range(5, 30, 5):
            clock.ahead = timedelta(days=days)
            pair = await refresh(auth, pair.refresh_token)
            assert days < 7 or await refused(refresh(auth, idle.refresh_token))
        clock.ahead = timedelta(days=29, hours=23)
        last = await refresh(auth, pair.refresh_token)

        issued = clock()
        assert last.refresh_token_expire_time.ToDatetime(issued.tzinfo) - issued <= timedelta(hours=1)
        clock.ahead = timedelta(days=30, seconds=1)
        assert await refused(refresh(auth, last.refresh_token))


@pytest.mark.parametrize("token", ["x", "x" * 200, "nul \0", "ü"])
async def test_a_made_up_refresh_token_is_refused(auth: Auth, token: str) -> None:
    error = await refusal(refresh(auth, token))

    assert (type(error), error.reason) == (Unauthenticated, "REFRESH_TOKEN_INVALID")


async def test_the_tokens_of_an_ended_session_cannot_be_refreshed(auth: Auth, person: Person) -> None:
    await person.register()
    pair = await person.tokens()
    await auth.stub.SignOut(pb.SignOutRequest(), metadata=bearer(pair.access_token))

    assert await refused(refresh(auth, pair.refresh_token))


async def test_neither_cookie_nor_access_token_is_a_refresh_token(auth: Auth, person: Person) -> None:
    await person.register()
    cookie, pair = await person.session_token(), await person.tokens()

    assert await refused(refresh(auth, cookie))
    error = await refusal(refresh(auth, pair.access_token[:200]))
    assert error.reason == "REFRESH_TOKEN_INVALID"
    assert await refused(auth.as_edge.ExchangeSession(pb.ExchangeSessionRequest(session_token=pair.refresh_token)))


async def test_the_database_tells_no_token_and_after_the_grace_not_even_with_a_used_one(start: Start) -> None:
    clock = MovedClock()
    async with start(clock=clock) as auth:
        person = auth.person()
        user = await person.register()
        pair = await person.tokens()
        for seconds in (0, 31, 62):
            clock.ahead = timedelta(seconds=seconds)
            pair = await refresh(auth, pair.refresh_token)
    async with auth.tables() as database, database.transaction() as session:
        of_user = select(RefreshToken).join(Session, Session.id == RefreshToken.session_id)
        kept = (await session.scalars(of_user.where(Session.user_id == user.id))).all()

    assert [token.salt is None for token in sorted(kept, key=lambda token: token.created_at)] == [
        True,
        True,
        False,
        True,
    ]
    assert pair.refresh_token.encode() not in [token.digest for token in kept]
