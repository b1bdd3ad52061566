"""A process that is killed between any two writes leaves all of them or none: no half account, reset or refresh.

Each test names a write of the transaction and holds its table, so that the process stops right before that write, and
kills it there. What the services do in the background stops there as well, but with other statements.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
import pytest
from chatmesh.auth.v1 import auth_pb2 as pb
from chatmesh.auth.v1.auth_pb2_grpc import AuthServiceStub
from sqlalchemy import text

from auth_svc.clock import now
from auth_svc.settings import AuthSettings
from svckit import clients, postgres
from svckit.postgres import Database
from tests.auth_svc.authenticator import Holder
from tests.auth_svc.conftest import SERVICES, Auth
from tests.auth_svc.person import Person, bearer, refused
from tests.auth_svc.test_process import address_of, environment, started
from tests.waiting import until

NEW = "another password"

_WAITING = text(
    "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " WHERE NOT granted AND datname = current_database() AND query LIKE :write || ' %'"
)


@asynccontextmanager
async def held(database: Database, write: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Let nobody write to the table of that write; gives how to wait until somebody wants to, by that statement."""
    async with database.engine.connect() as connection:
        await connection.execute(text(f"LOCK TABLE {write.split()[-1]} IN SHARE ROW EXCLUSIVE MODE"))

        async def wanted() -> bool:
            async with database.transaction() as session:
                return bool(await session.scalar(_WAITING, {"write": write}))

        async def until_wanted() -> None:
            await until(wanted)

        yield until_wanted
        await connection.rollback()


async def killed_at(
    settings: AuthSettings, write: str, act: Callable[[Person], Awaitable[object]], person: Person, database: Database
) -> None:
    """Have another process do the act, and kill it where it is about to make that write."""
    async with started("auth_svc", env=environment(settings, str(settings.database_url))) as process:
        address = await address_of(process)
        async with clients.channel(address, services=SERVICES) as channel, held(database, write) as until_wanted:
            dying = Person(AuthServiceStub(channel), person.inbox, person.address, person.password)
            acting = asyncio.ensure_future(act(dying))
            await until_wanted()
            process.send_signal(signal.SIGKILL)
            with pytest.raises(grpc.aio.AioRpcError):
                await acting


@pytest.fixture
async def patient(auth: Auth) -> AsyncIterator[Database]:
    async with postgres.connected(str(auth.settings.database_url), pool_size=2) as connected:
        yield connected


@pytest.mark.parametrize("write", ["INSERT INTO auth.outbox", "INSERT INTO auth.letters"])
async def test_a_sign_up_that_is_cut_off_can_be_made_again(
    auth: Auth, patient: Database, person: Person, write: str
) -> None:
    await killed_at(auth.settings, write, lambda dying: dying.sign_up(name="cut off"), person, patient)

    assert await refused(person.sign_in())
    await person.sign_up(name="again")
    user = await person.verify(await person.mailed_token())
    assert (user.name, auth.inbox.waiting(person.address)) == ("again", [])
    assert (await person.sign_in()).user == user


@pytest.mark.parametrize("write", ["UPDATE auth.sessions", "INSERT INTO auth.letters", "INSERT INTO auth.audit_events"])
async def test_a_reset_that_is_cut_off_changes_nothing_and_its_token_stays_good(
    auth: Auth, patient: Database, person: Person, write: str
) -> None:
    await person.register()
    tokens = await person.tokens()
    await auth.stub.ForgotPassword(pb.ForgotPasswordRequest(email=person.address))
    reset = pb.ResetPasswordRequest(token=await person.mailed_token(), password=NEW)

    await killed_at(auth.settings, write, lambda dying: dying.stub.ResetPassword(reset), person, patient)

    assert (await person.sign_in()).user.email == person.address
    assert not await refused(auth.stub.GetMe(pb.GetMeRequest(), metadata=bearer(tokens.access_token)))
    await auth.stub.ResetPassword(reset)
    assert await refused(person.sign_in())
    assert (await person.sign_in(password=NEW)).user.email == person.address


@pytest.mark.parametrize("write", ["UPDATE auth.refresh_tokens"])
async def test_a_refresh_that_is_cut_off_can_be_made_again(
    auth: Auth, patient: Database, person: Person, write: str
) -> None:
    await person.register()
    request = pb.RefreshTokenRequest(refresh_token=(await person.tokens()).refresh_token)

    await killed_at(auth.settings, write, lambda dying: dying.stub.RefreshToken(request), person, patient)

    tokens = (await auth.stub.RefreshToken(request)).tokens
    assert not await refused(auth.stub.GetMe(pb.GetMeRequest(), metadata=bearer(tokens.access_token)))


@pytest.mark.parametrize(
    "write", ["INSERT INTO auth.endings", "INSERT INTO auth.outbox", "INSERT INTO auth.audit_events"]
)
async def test_a_deletion_that_is_cut_off_leaves_the_account_whole(
    auth: Auth, patient: Database, person: Person, write: str
) -> None:
    await person.register()
    token = bearer((await person.tokens()).access_token)
    await auth.stub.CreateApiKey(pb.CreateApiKeyRequest(name="job"), metadata=token)
    delete = pb.DeleteMeRequest(password=person.password)

    await killed_at(auth.settings, write, lambda dying: dying.stub.DeleteMe(delete, metadata=token), person, patient)

    assert (await person.sign_in()).user.email == person.address
    assert len((await auth.stub.ListApiKeys(pb.ListApiKeysRequest(), metadata=token)).api_keys) == 1
    await auth.stub.DeleteMe(delete, metadata=token)
    assert await refused(person.sign_in())


@pytest.mark.parametrize("write", ["INSERT INTO auth.letters", "INSERT INTO auth.outbox"])
async def test_a_second_factor_that_is_cut_off_opens_no_session_and_can_be_shown_again(
    auth: Auth, patient: Database, person: Person, write: str
) -> None:
    holder = Holder(person, now)
    await holder.turn_on()
    shown = pb.VerifyMfaRequest(challenge_token=await holder.challenge(), recovery_code=holder.recovery_codes[0])

    await killed_at(auth.settings, write, lambda dying: dying.stub.VerifyMfa(shown), person, patient)

    token = bearer((await auth.stub.VerifyMfa(shown)).tokens.access_token)
    assert (await auth.stub.GetMfa(pb.GetMfaRequest(), metadata=token)).recovery_codes_left == 9
    assert len((await auth.stub.ListSessions(pb.ListSessionsRequest(), metadata=token)).sessions) == 2
