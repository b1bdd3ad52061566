"""Signing in with a second factor, and what it takes to have one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import grpc
import pytest
from chatmesh.auth.v1 import auth_pb2 as pb
from sqlalchemy import select, text

from auth_svc import create_admin
from auth_svc.models import AuditEvent
from svckit.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unauthenticated,
)
from svckit.ids import new_id
from svckit.postgres import Database
from tests.auth_svc.authenticator import Holder
from tests.auth_svc.conftest import Auth, Start, StillClock
from tests.auth_svc.inbox import text_of
from tests.auth_svc.person import bearer
from tests.callers import refusal

Metadata = tuple[tuple[str, str], ...]


@pytest.fixture(scope="module")
async def clocked(start: Start, new_database: Callable[[], Awaitable[str]]) -> AsyncIterator[tuple[Auth, StillClock]]:
    clock = StillClock()
    async with start(clock=clock, database_url=await new_database()) as auth:
        yield auth, clock


@pytest.fixture
def auth(clocked: tuple[Auth, StillClock]) -> Auth:
    return clocked[0]


@pytest.fixture
def clock(clocked: tuple[Auth, StillClock]) -> StillClock:
    clocked[1].restart()
    return clocked[1]


@pytest.fixture
def holder(auth: Auth, clock: StillClock) -> Holder:
    return Holder(auth.person(), clock)


async def disable(holder: Holder, metadata: Metadata, **proof: str) -> pb.DisableTotpResponse:
    return await holder.person.stub.DisableTotp(pb.DisableTotpRequest(**proof), metadata=metadata)


async def status(holder: Holder, metadata: Metadata) -> pb.GetMfaResponse:
    return await holder.person.stub.GetMfa(pb.GetMfaRequest(), metadata=metadata)


async def reason_of(call: Awaitable[object]) -> str:
    return (await refusal(call)).reason


# --- signing in


async def test_the_right_password_opens_no_session_before_the_code(holder: Holder) -> None:
    await holder.turn_on()

    call = holder.person.sign_in()
    answer = await call

    assert not answer.HasField("user")
    assert not answer.HasField("tokens")
    assert answer.mfa_required.expire_time.ToDatetime() > holder.clock().replace(tzinfo=None)
    assert "set-cookie" not in dict(await call.initial_metadata())


async def test_the_code_opens_the_session_with_its_cookie(holder: Holder) -> None:
    await holder.turn_on()
    token = await holder.challenge()

    call = holder.person.stub.VerifyMfa(pb.VerifyMfaRequest(challenge_token=token, code=holder.code()))
    verified = await call

    assert str((await call.initial_metadata())["set-cookie"]).startswith("session=")
    me = await holder.person.stub.GetMe(pb.GetMeRequest(), metadata=bearer(verified.tokens.access_token))
    assert me.user == verified.user


async def test_whoever_does_not_know_the_password_learns_nothing_of_the_second_factor(holder: Holder) -> None:
    await holder.turn_on()

    error = await refusal(holder.person.sign_in(password="not the password"))

    assert (type(error), error.reason) == (Unauthenticated, "CREDENTIALS_INVALID")


async def test_a_secret_that_was_never_confirmed_changes_nothing(holder: Holder) -> None:
    await holder.person.register()
    metadata = bearer((await holder.person.tokens()).access_token)
    await holder.enroll(metadata)

    assert (await holder.person.sign_in()).tokens.access_token
    assert not (await status(holder, metadata)).enabled


async def test_a_code_counts_once_and_none_before_it_does(holder: Holder) -> None:
    await holder.turn_on()
    token = await holder.challenge()
    await holder.verify(token, code=holder.code())

    again, token = await holder.challenge(), await holder.challenge()

    assert await reason_of(holder.verify(again, code=holder.code())) == "CODE_INVALID"
    assert await reason_of(holder.verify(again, code=holder.code(-1))) == "CODE_INVALID"
    assert (await holder.verify(token, code=holder.code(1))).tokens.access_token


async def test_one_code_shown_many_times_at_once_opens_one_session(holder: Holder) -> None:
    await holder.turn_on()
    challenges = [await holder.challenge() for _ in range(5)]
    code = holder.code()

    answers = await asyncio.gather(
        *(holder.verify(challenge, code=code) for challenge in challenges), return_exceptions=True
    )

    assert sum(isinstance(answer, pb.VerifyMfaResponse) for answer in answers) == 1
    assert sum(isinstance(answer, grpc.aio.AioRpcError) for answer in answers) == 4


# --- challenges


async def test_a_challenge_opens_one_session(holder: Holder) -> None:
    await holder.turn_on()
    token = await holder.challenge()
    await holder.verify(token, code=holder.code())

    assert await reason_of(holder.verify(token, code=holder.code(1))) == "CHALLENGE_INVALID"


@pytest.mark.parametrize("token", ["made up", "nul \0", "x" * 200])
async def test_a_made_up_challenge_is_refused(holder: Holder, token: str) -> None:
    error = await refusal(holder.verify(token, code="123456"))

    assert (type(error), error.reason) == (Unauthenticated, "CHALLENGE_INVALID")


async def test_a_challenge_asks_for_a_proof(holder: Holder) -> None:
    assert isinstance(await refusal(holder.verify("token")), InvalidArgument)


async def test_a_challenge_ends_after_five_minutes(holder: Holder, clock: StillClock) -> None:
    await holder.turn_on()
    token = await holder.challenge()
    clock.now += timedelta(minutes=5, seconds=1)

    assert await reason_of(holder.verify(token, code=holder.code())) == "CHALLENGE_INVALID"


async def test_a_challenge_ends_after_five_wrong_codes(holder: Holder, clock: StillClock) -> None:
    await holder.turn_on()
    token = await holder.challenge()

    tried = [await reason_of(holder.verify(token, code=holder.wrong_code())) for _ in range(5)]
    clock.now += timedelta(seconds=2)

    assert tried == ["CODE_INVALID"] * 5
    assert await reason_of(holder.verify(token, code=holder.code())) == "CHALLENGE_INVALID"


async def test_a_challenge_ends_with_the_password_that_it_was_given_for(holder: Holder) -> None:
    metadata = await holder.turn_on()
    token = await holder.challenge()
    request = pb.ChangePasswordRequest(current_password=holder.person.password, new_password="another password")
    await holder.person.stub.ChangePassword(request, metadata=metadata)

    assert await reason_of(holder.verify(token, code=holder.code())) == "CHALLENGE_INVALID"


async def test_a_password_reset_does_not_get_around_the_second_factor(holder: Holder) -> None:
    await holder.turn_on()
    await holder.next_mail()  # that it was turned on
    await holder.person.stub.ForgotPassword(pb.ForgotPasswordRequest(email=holder.person.address))
    token = await holder.person.mailed_token()
    await holder.person.stub.ResetPassword(pb.ResetPasswordRequest(token=token, password="another password"))
    holder.person.password = "another password"

    answer = await holder.person.sign_in()

    assert not answer.HasField("tokens")
    assert (await holder.verify(answer.mfa_required.token, code=holder.code())).tokens.access_token


# --- guessing


async def test_wrong_codes_make_the_account_wait_whatever_challenge_they_are_for(
    holder: Holder, clock: StillClock
) -> None:
    await holder.turn_on()
    for _ in range(5):
        await refusal(holder.verify(await holder.challenge(), code=holder.wrong_code()))
    token = await holder.challenge()

    error = await refusal(holder.verify(token, code=holder.code()))

    assert (type(error), error.reason) == (ResourceExhausted, "TOO_MANY_ATTEMPTS")
    assert error.retry_after == timedelta(seconds=1)
    clock.now += timedelta(seconds=1)
    assert (await holder.verify(token, code=holder.code())).tokens.access_token


async def test_each_wrong_code_doubles_the_wait(holder: Holder, clock: StillClock) -> None:
    await holder.turn_on()
    waits = []
    for _ in range(8):
        await refusal(holder.verify(await holder.challenge(), code=holder.wrong_code()))
        error = await refusal(holder.verify(await holder.challenge(), code=holder.wrong_code()))
        if error.retry_after:
            waits.append(error.retry_after.total_seconds())
            clock.now += error.retry_after

    assert waits == [1, 2, 4, 8, 16, 32]


async def test_a_recovery_code_is_the_way_around_somebody_who_guesses_on(holder: Holder) -> None:
    await holder.turn_on()
    for _ in range(6):
        await refusal(holder.verify(await holder.challenge(), code=holder.wrong_code()))

    opened = await holder.verify(await holder.challenge(), recovery_code=holder.recovery_codes[0])

    assert opened.tokens.access_token


# --- recovery codes


async def test_there_are_ten_recovery_codes_and_each_works_once_however_it_is_typed(holder: Holder) -> None:
    metadata = await holder.turn_on()
    first, second, *_ = holder.recovery_codes
    assert len(set(holder.recovery_codes)) == 10

    await holder.verify(await holder.challenge(), recovery_code=first)
    await holder.verify(await holder.challenge(), recovery_code=f" {second.lower().replace('-', ' ')} ")

    for used in (first, second):
        assert await reason_of(holder.verify(await holder.challenge(), recovery_code=used)) == "CODE_INVALID"
    assert (await status(holder, metadata)).recovery_codes_left == 8


async def test_somebody_elses_recovery_code_is_wrong(holder: Holder, auth: Auth) -> None:
    other = Holder(auth.person(), holder.clock)
    await holder.turn_on()
    await other.turn_on()

    refused = holder.verify(await holder.challenge(), recovery_code=other.recovery_codes[0])

    assert await reason_of(refused) == "CODE_INVALID"


async def test_new_recovery_codes_void_the_old_ones(holder: Holder) -> None:
    metadata = await holder.turn_on()
    request = pb.RegenerateRecoveryCodesRequest(code=holder.code())

    made = await holder.person.stub.RegenerateRecoveryCodes(request, metadata=metadata)

    old = holder.verify(await holder.challenge(), recovery_code=holder.recovery_codes[0])
    assert await reason_of(old) == "CODE_INVALID"
    assert (await holder.verify(await holder.challenge(), recovery_code=made.recovery_codes[0])).tokens.access_token


# --- having one


async def test_it_is_asked_for_by_the_password_and_confirmed_by_a_code(holder: Holder) -> None:
    await holder.person.register()
    metadata = bearer((await holder.person.tokens()).access_token)
    right, holder.person.password = holder.person.password, "not the password"
    assert await reason_of(holder.enroll(metadata)) == "CREDENTIALS_INVALID"
    holder.person.password = right

    enrolled = await holder.enroll(metadata)
    wrong = holder.person.stub.ConfirmTotp(pb.ConfirmTotpRequest(code=holder.wrong_code()), metadata=metadata)

    assert await reason_of(wrong) == "CODE_INVALID"
    assert len(enrolled.secret) == 32
    assert enrolled.otpauth_uri.startswith("otpauth://totp/chatmesh:")
    assert f"secret={enrolled.secret}" in enrolled.otpauth_uri


async def test_another_secret_voids_one_that_was_never_confirmed_and_none_that_was(holder: Holder) -> None:
    await holder.person.register()
    metadata = bearer((await holder.person.tokens()).access_token)
    await holder.enroll(metadata)
    first = holder.code()
    await holder.enroll(metadata)

    confirm = holder.person.stub.ConfirmTotp
    assert await reason_of(confirm(pb.ConfirmTotpRequest(code=first), metadata=metadata)) == "CODE_INVALID"
    await confirm(pb.ConfirmTotpRequest(code=holder.code()), metadata=metadata)
    assert await reason_of(holder.enroll(metadata)) == "MFA_ENABLED"
    assert await reason_of(confirm(pb.ConfirmTotpRequest(code=holder.code(1)), metadata=metadata)) == "MFA_NOT_ENROLLED"


@pytest.mark.parametrize("proof", ["code", "password"])
async def test_it_is_taken_away_by_a_code_or_the_password(holder: Holder, proof: str) -> None:
    metadata = await holder.turn_on()
    waiting = await holder.challenge()

    await disable(holder, metadata, **{proof: holder.code() if proof == "code" else holder.person.password})

    assert (await holder.person.sign_in()).tokens.access_token
    assert await reason_of(holder.verify(waiting, code=holder.code(1))) == "CHALLENGE_INVALID"
    assert (await status(holder, metadata)).recovery_codes_left == 0


async def test_it_is_not_taken_away_by_anything_else(holder: Holder) -> None:
    metadata = await holder.turn_on()

    assert await reason_of(disable(holder, metadata, code=holder.wrong_code())) == "CODE_INVALID"
    assert await reason_of(disable(holder, metadata, code="")) == "CODE_INVALID"
    assert await reason_of(disable(holder, metadata, password="not the password")) == "CREDENTIALS_INVALID"
    assert isinstance(await refusal(disable(holder, metadata)), InvalidArgument)
    assert (await status(holder, metadata)).enabled


async def test_without_a_second_factor_there_is_none_to_take_away(holder: Holder) -> None:
    await holder.person.register()
    metadata = bearer((await holder.person.tokens()).access_token)

    error = await refusal(disable(holder, metadata, password=holder.person.password))

    assert (type(error), error.reason) == (FailedPrecondition, "MFA_NOT_ENROLLED")


async def test_an_api_key_changes_nothing_about_it_and_goes_on_working(holder: Holder, auth: Auth) -> None:
    metadata = await holder.turn_on()
    key = await holder.person.stub.CreateApiKey(pb.CreateApiKeyRequest(name="a program"), metadata=metadata)
    exchanged = await auth.as_edge.ExchangeSession(pb.ExchangeSessionRequest(api_key=key.secret))
    as_key = bearer(exchanged.access_token)

    errors = [
        await refusal(holder.enroll(as_key)),
        await refusal(holder.person.stub.ConfirmTotp(pb.ConfirmTotpRequest(code="123456"), metadata=as_key)),
        await refusal(disable(holder, as_key, code=holder.code())),
        await refusal(disable(holder, as_key, password=holder.person.password)),
    ]

    assert {(type(error), error.reason) for error in errors} == {(FailedPrecondition, "SESSION_NEEDED")}
    assert (await status(holder, as_key)).enabled


async def test_an_administrator_takes_it_away_for_whoever_lost_everything(holder: Holder, auth: Auth) -> None:
    metadata, admin = await holder.turn_on(), auth.person()
    me = (await holder.person.stub.GetMe(pb.GetMeRequest(), metadata=metadata)).user
    await create_admin.main(auth.settings, email=admin.address, password=admin.password)
    as_admin = bearer((await admin.tokens()).access_token)

    await auth.stub.ResetMfa(pb.ResetMfaRequest(user_id=me.id), metadata=as_admin)

    assert (await holder.person.sign_in()).tokens.access_token
    for nobody in (me.id, new_id()):
        again = auth.stub.ResetMfa(pb.ResetMfaRequest(user_id=nobody), metadata=as_admin)
        assert isinstance(await refusal(again), NotFound)


# --- who hears of it, and what lies in the database


async def test_the_owner_is_told_of_each_change_and_the_log_has_it(holder: Holder, database: Database) -> None:
    metadata = await holder.turn_on()
    await refusal(holder.verify(await holder.challenge(), code=holder.wrong_code()))
    await holder.verify(await holder.challenge(), recovery_code=holder.recovery_codes[0])
    await disable(holder, metadata, code=holder.code())

    mails = {(await holder.next_mail())["Subject"] for _ in range(3)}
    async with database.transaction() as session:
        user_id = (await holder.person.stub.GetMe(pb.GetMeRequest(), metadata=metadata)).user.id
        facts = await session.scalars(
            select(AuditEvent.type).where(AuditEvent.user_id == user_id).order_by(AuditEvent.id)
        )
        noted = [fact for fact in facts if fact.startswith("mfa.")]

    assert mails == {"Sign-in now asks for a code", "A recovery code was used", "Sign-in no longer asks for a code"}
    assert noted == ["mfa.enabled", "mfa.code_wrong", "mfa.recovery_code_used", "mfa.disabled"]


async def test_the_mail_carries_neither_secret_nor_code(holder: Holder) -> None:
    await holder.turn_on()

    mail = text_of(await holder.next_mail())

    assert not [secret for secret in (holder.secret, *holder.recovery_codes) if secret in mail]


async def test_a_copy_of_the_database_gives_no_second_factor_away(holder: Holder, database: Database) -> None:
    await holder.turn_on()
    token = await holder.challenge()

    async with database.transaction() as session:
        rows = []
        for table in ("second_factors", "recovery_codes", "challenges"):
            rows += [repr(row) for row in await session.execute(text(f"SELECT * FROM auth.{table}"))]

    assert rows
    assert not [secret for secret in (holder.secret, token, *holder.recovery_codes) if secret in "".join(rows)]
