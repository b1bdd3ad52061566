from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

from chatmesh.auth.v1 import auth_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import func, select

from auth_svc.models import Base, User
from svckit import postgres
from svckit.postgres import Database
from tests.auth_svc.conftest import MovedClock, Start
from tests.auth_svc.person import Person, bearer, refused
from tests.waiting import until

_SWEPT = ("mail_tokens", "sessions", "refresh_tokens", "api_keys", "endings", "mailings", "attempts", "audit_events")


async def rows(database: Database) -> dict[str, int]:
    tables = {table.name: table for table in Base.metadata.sorted_tables}
    async with database.transaction() as session:
        return {name: await session.scalar(select(func.count()).select_from(tables[name])) or 0 for name in _SWEPT}


async def test_what_is_over_is_deleted_in_its_time_and_what_lives_stays(
    start: Start, new_database: Callable[[], Awaitable[str]]
) -> None:
    clock, url = MovedClock(), await new_database()

    async def at(ahead: timedelta, expected: Mapping[str, int]) -> None:
        clock.ahead = ahead
        async with start(database_url=url, clock=clock):
            await until(lambda: _same(database, expected))

    async with postgres.connected(url, pool_size=1) as database:
        async with start(database_url=url, clock=clock) as auth:
            person = auth.person()
            await person.register()
            token = bearer((await person.tokens()).access_token)
            end = Timestamp()
            end.FromDatetime(clock() + timedelta(hours=1))
            for expire_time in (end, None):
                request = pb.CreateApiKeyRequest(name="job", expire_time=expire_time)
                made = await auth.stub.CreateApiKey(request, metadata=token)
            await auth.stub.DeleteApiKey(pb.DeleteApiKeyRequest(api_key_id=made.api_key.id), metadata=token)
            await auth.stub.CreateApiKey(pb.CreateApiKeyRequest(name="for ever"), metadata=token)
            await auth.stub.ForgotPassword(pb.ForgotPasswordRequest(email=person.address))
            while (await auth.inbox.next_to(person.address))["Subject"] != "Choose a new password":
                pass
            await refused(Person(auth.stub, auth.inbox).sign_in())
        everything = await rows(database)

        await at(timedelta(minutes=59), everything)
        day = {"mail_tokens": 0, "endings": 0, "mailings": 0}
        await at(timedelta(days=1, hours=1), everything | day)
        days = day | {"attempts": 0}
        await at(timedelta(days=2, hours=1), everything | days)
        month = days | {"refresh_tokens": 0, "api_keys": 1}
        await at(timedelta(days=31), everything | month)
        later = month | {"sessions": 0}
        await at(timedelta(days=38), everything | later)
        await at(timedelta(days=179), everything | later)
        await at(timedelta(days=181), everything | later | {"audit_events": 0})


async def test_an_address_that_nobody_verifies_is_forgotten_after_thirty_days(
    start: Start, new_database: Callable[[], Awaitable[str]]
) -> None:
    clock, url = MovedClock(), await new_database()
    async with start(database_url=url, clock=clock) as auth:
        waiting, again, verified = auth.person(), auth.person(), auth.person()
        for person in (waiting, again):
            await person.sign_up()
        await verified.register()
        clock.ahead = timedelta(days=29)
        await again.sign_up()
    clock.ahead = timedelta(days=31)
    async with start(database_url=url, clock=clock), postgres.connected(url, pool_size=1) as database:

        async def addresses() -> set[str] | None:
            async with database.transaction() as session:
                found = set(await session.scalars(select(User.email)))
            return found if waiting.address not in found else None

        assert await until(addresses) == {again.address, verified.address}


async def _same(database: Database, expected: Mapping[str, int]) -> bool:
    return await rows(database) == expected
