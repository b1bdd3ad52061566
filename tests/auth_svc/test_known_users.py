from collections.abc import Awaitable, Callable

import grpc
from chatmesh.auth.v1 import auth_pb2 as pb
from sqlalchemy import text, update

from auth_svc.models import User
from svckit.postgres import Database
from tests.auth_svc.conftest import Auth, Start
from tests.auth_svc.hashing import CountingHasher
from tests.auth_svc.person import Person, bearer
from tests.auth_svc.statements import statements
from tests.waiting import until


async def me(auth: Auth, metadata: tuple[tuple[str, str], ...], *, seconds: float | None = None) -> pb.User:
    return (await auth.stub.GetMe(pb.GetMeRequest(), metadata=metadata, timeout=seconds)).user


def named(auth: Auth, metadata: tuple[tuple[str, str], ...], name: str) -> Callable[[], Awaitable[bool]]:
    async def is_named() -> bool:
        return (await me(auth, metadata)).name == name

    return is_named


async def remembered(auth: Auth, database: Database, metadata: tuple[tuple[str, str], ...]) -> pb.User:
    """Who is signed in, as soon as that is known without reading the accounts: nobody can."""

    async def answered() -> pb.User | None:
        await me(auth, metadata)
        async with database.transaction() as session:
            await session.execute(text("LOCK TABLE auth.users IN ACCESS EXCLUSIVE MODE"))
            try:
                return await me(auth, metadata, seconds=1.0)
            except grpc.aio.AioRpcError:
                return None

    return await until(answered)


async def test_who_is_signed_in_is_not_asked_of_postgres_each_time(
    auth: Auth, person: Person, database: Database
) -> None:
    user = await person.register()
    metadata = bearer((await person.tokens()).access_token)

    assert await remembered(auth, database, metadata) == user


async def test_checking_a_token_and_showing_its_owner_asks_neither_postgres_nor_argon2(
    start: Start, person: Person, database: Database
) -> None:
    hasher = CountingHasher()
    async with start(hasher=hasher) as auth:
        await person.register()
        first, second = await person.tokens(), await person.tokens()
        user = await remembered(auth, database, bearer(first.access_token))
        hashed = (hasher.hashed, hasher.verified)

        with statements() as made:
            shown = [await me(auth, bearer(tokens.access_token)) for tokens in (first, second)]

        assert shown == [user, user]
        assert (made, (hasher.hashed, hasher.verified)) == ([], hashed)


async def test_a_change_is_seen_at_once_at_every_replica_however_it_was_made(
    start: Start, person: Person, database: Database
) -> None:
    async with start() as one, start() as other:
        user = await person.register()
        metadata = bearer((await person.tokens()).access_token)
        for auth in (one, other):
            await remembered(auth, database, metadata)

        await one.stub.UpdateMe(pb.UpdateMeRequest(name="Ada"), metadata=metadata)
        assert (await me(one, metadata)).name == "Ada"
        await until(named(other, metadata, "Ada"))
        async with database.transaction() as session:
            await session.execute(update(User).where(User.id == user.id).values(name="By hand"))
        for auth in (one, other):
            await until(named(auth, metadata, "By hand"))


async def test_what_was_remembered_is_read_anew_after_postgres_closed_the_connection(
    auth: Auth, person: Person, database: Database
) -> None:
    user = await person.register()
    metadata = bearer((await person.tokens()).access_token)
    await remembered(auth, database, metadata)
    async with database.transaction() as session:
        await session.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'auth'"
            )
        )
        await session.execute(update(User).where(User.id == user.id).values(name="Missed"))

    await until(named(auth, metadata, "Missed"))
    assert (await remembered(auth, database, metadata)).name == "Missed"
