from collections.abc import Awaitable, Callable
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from chatmesh.auth.v1 import auth_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp
from redis.asyncio import Redis
from sqlalchemy import select

from auth_svc.models import ApiKey
from svckit.errors import FailedPrecondition, InvalidArgument, NotFound, Unauthenticated
from svckit.ids import new_id
from svckit.local import Engines
from svckit.postgres import Database
from svckit.revocations import KEY
from tests.auth_svc.conftest import Auth, MovedClock, Start
from tests.auth_svc.person import PASSWORD, Person, bearer, refused
from tests.callers import refusal
from tests.waiting import until


async def make(auth: Auth, access_token: str, **request: object) -> pb.CreateApiKeyResponse:
    return await auth.stub.CreateApiKey(
        pb.CreateApiKeyRequest(**{"name": "a program", **request}),  # type: ignore[arg-type]
        metadata=bearer(access_token),
    )


async def exchange(auth: Auth, secret: str) -> pb.ExchangeSessionResponse:
    return await auth.as_edge.ExchangeSession(pb.ExchangeSessionRequest(api_key=secret))


async def keys_of(auth: Auth, access_token: str, **request: object) -> pb.ListApiKeysResponse:
    return await auth.stub.ListApiKeys(pb.ListApiKeysRequest(**request), metadata=bearer(access_token))  # type: ignore[arg-type]


@pytest.fixture
async def token(person: Person) -> str:
    """The access token of a registered person."""
    await person.register()
    return (await person.tokens()).access_token


async def test_a_key_is_shown_once_and_its_owner_is_told(auth: Auth, person: Person, token: str) -> None:
    made = await make(auth, token, name=" nightly job ")

    (listed,) = (await keys_of(auth, token)).api_keys
    assert listed == made.api_key
    assert (listed.name, made.secret[:12], len(made.secret)) == ("nightly job", listed.prefix, 47)
    assert not listed.HasField("last_used_time")
    assert (await auth.inbox.next_to(person.address))["Subject"] == "An API key was made"


async def test_a_program_with_the_key_is_its_owner(auth: Auth, person: Person, token: str) -> None:
    made = await make(auth, token)

    access = (await exchange(auth, made.secret)).access_token

    assert (await auth.stub.GetMe(pb.GetMeRequest(), metadata=bearer(access))).user.email == person.address
    assert (await keys_of(auth, access)).api_keys[0].HasField("last_used_time")


@pytest.mark.parametrize("secret", ["", "cmk_made_up", "nul \0", "x" * 200])
async def test_a_made_up_key_is_refused(auth: Auth, secret: str) -> None:
    error = await refusal(exchange(auth, secret))

    assert (type(error), error.reason) == (Unauthenticated, "API_KEY_INVALID")


async def test_a_deleted_key_stops_working_with_the_tokens_that_were_made_for_it(auth: Auth, token: str) -> None:
    made = await make(auth, token)
    access = (await exchange(auth, made.secret)).access_token

    await auth.stub.DeleteApiKey(pb.DeleteApiKeyRequest(api_key_id=made.api_key.id), metadata=bearer(token))

    assert await refused(exchange(auth, made.secret))
    await until(lambda: refused(auth.stub.GetMe(pb.GetMeRequest(), metadata=bearer(access))))
    assert (await keys_of(auth, token)).api_keys == []


async def test_the_end_of_a_key_is_told_again_when_redis_has_lost_it(
    start: Start, engines: Engines, new_database: Callable[[], Awaitable[str]]
) -> None:
    redis_url = urlsplit(engines.redis_url)._replace(path="/8").geturl()
    async with (
        start(database_url=await new_database(), redis_url=redis_url) as auth,
        Redis.from_url(redis_url) as redis,
    ):

        async def told() -> bool:
            return await redis.zcard(KEY) == 1

        person = auth.person()
        await person.register()
        token = (await person.tokens()).access_token
        made = await make(auth, token)
        await auth.stub.DeleteApiKey(pb.DeleteApiKeyRequest(api_key_id=made.api_key.id), metadata=bearer(token))
        await redis.flushdb()

        await until(told)


async def test_a_key_ends_when_it_was_said_to_and_so_do_its_tokens(start: Start) -> None:
    clock = MovedClock()
    async with start(clock=clock) as auth:
        person = auth.person()
        await person.register()
        end = Timestamp()
        end.FromDatetime(clock() + timedelta(minutes=5))
        made = await make(auth, (await person.tokens()).access_token, expire_time=end)

        exchanged = await exchange(auth, made.secret)
        clock.ahead = timedelta(minutes=5)

        assert exchanged.expire_time.seconds <= end.seconds
        assert await refused(exchange(auth, made.secret))


async def test_somebody_elses_key_is_not_found_and_goes_on(auth: Auth, token: str) -> None:
    made = await make(auth, token)
    stranger = auth.person()
    await stranger.register()
    theirs = bearer((await stranger.tokens()).access_token)

    for id_ in (made.api_key.id, new_id()):
        request = pb.DeleteApiKeyRequest(api_key_id=id_)
        assert isinstance(await refusal(auth.stub.DeleteApiKey(request, metadata=theirs)), NotFound)

    assert (await exchange(auth, made.secret)).access_token


async def test_a_key_changes_nothing_about_password_sessions_and_keys(auth: Auth, person: Person, token: str) -> None:
    made = await make(auth, token)
    access = bearer((await exchange(auth, made.secret)).access_token)
    (session,) = (await auth.stub.ListSessions(pb.ListSessionsRequest(), metadata=access)).sessions
    change = pb.ChangePasswordRequest(current_password=PASSWORD, new_password="another password")

    errors = [
        await refusal(auth.stub.CreateApiKey(pb.CreateApiKeyRequest(name="another"), metadata=access)),
        await refusal(auth.stub.DeleteApiKey(pb.DeleteApiKeyRequest(api_key_id=made.api_key.id), metadata=access)),
        await refusal(auth.stub.RevokeSession(pb.RevokeSessionRequest(session_id=session.id), metadata=access)),
        await refusal(auth.stub.RevokeOtherSessions(pb.RevokeOtherSessionsRequest(), metadata=access)),
        await refusal(auth.stub.ChangePassword(change, metadata=access)),
        await refusal(auth.stub.DeleteMe(pb.DeleteMeRequest(password=PASSWORD), metadata=access)),
    ]

    assert {(type(error), error.reason) for error in errors} == {(FailedPrecondition, "SESSION_NEEDED")}
    assert (await person.sign_in()).user.email == person.address


async def test_signing_out_does_not_end_a_key(auth: Auth, token: str) -> None:
    made = await make(auth, token)
    access = (await exchange(auth, made.secret)).access_token

    await auth.stub.SignOut(pb.SignOutRequest(), metadata=bearer(access))
    await auth.stub.SignOut(pb.SignOutRequest(), metadata=bearer(token))

    await until(lambda: refused(auth.stub.GetMe(pb.GetMeRequest(), metadata=bearer(token))))
    assert (await auth.stub.GetMe(pb.GetMeRequest(), metadata=bearer(access))).user.id


async def test_a_changed_password_ends_no_key(auth: Auth, token: str) -> None:
    made = await make(auth, token)
    change = pb.ChangePasswordRequest(current_password=PASSWORD, new_password="another password")
    await auth.stub.ChangePassword(change, metadata=bearer(token))

    assert (await exchange(auth, made.secret)).access_token


async def test_there_is_a_most_and_the_list_comes_in_pages(auth: Auth, token: str) -> None:
    names = [f"program {n}" for n in range(50)]
    for name in names:
        await make(auth, token, name=name)

    error = await refusal(make(auth, token))

    assert (type(error), error.reason) == (FailedPrecondition, "TOO_MANY_API_KEYS")
    first = await keys_of(auth, token, page_size=30)
    second = await keys_of(auth, token, page_size=30, page_token=first.next_page_token)
    assert [key.name for key in [*first.api_keys, *second.api_keys]] == names[::-1]
    assert second.next_page_token == ""


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"expire_time": Timestamp(seconds=1)}, "expire_time"),
        ({"expire_time": Timestamp(seconds=253_402_300_799)}, "expire_time"),
        ({"expire_time": Timestamp(seconds=2**62)}, "expire_time"),
        ({"expire_time": Timestamp(seconds=-(2**62))}, "expire_time"),
    ],
)
async def test_what_cannot_be_a_key_is_refused_by_field(
    auth: Auth, token: str, request_: dict[str, object], field: str
) -> None:
    error = await refusal(make(auth, token, **request_))

    assert isinstance(error, InvalidArgument)
    assert error.violations[0].field == field


async def test_the_database_holds_no_key_that_works(auth: Auth, token: str, database: Database) -> None:
    made = await make(auth, token)

    async with database.transaction() as session:
        key = (await session.scalars(select(ApiKey).where(ApiKey.id == made.api_key.id))).one()
    kept = " ".join(str(value) for value in (key.digest.hex(), key.digest, key.prefix, key.session_id, key.name))
    assert made.secret[12:] not in kept
    assert await refused(exchange(auth, key.digest.hex()))
