import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from chatmesh.auth.v1 import auth_pb2 as pb
from sqlalchemy import func, select

from auth_svc.models import Letter, MailToken
from svckit import postgres
from svckit.errors import InvalidArgument
from svckit.local.ports import free_port
from svckit.postgres import Database
from tests.auth_svc.conftest import Auth, MovedClock, Start
from tests.auth_svc.inbox import LOOPBACK, Inbox, listening, token_in
from tests.auth_svc.person import Person, bearer, new_address
from tests.callers import refusal
from tests.waiting import until


async def resend(auth: Auth, address: str) -> pb.ResendVerificationResponse:
    return await auth.stub.ResendVerification(pb.ResendVerificationRequest(email=address))


async def test_the_letter_shows_link_and_token_so_that_they_can_be_copied_from_the_raw_mail(
    auth: Auth, person: Person
) -> None:
    await person.sign_up(name="Click http://evil.example")
    letter = await auth.inbox.next_to(person.address)
    token = token_in(letter)
    raw = next(raw for raw in auth.inbox.raw if token.encode() in raw)

    assert f"https://chat.example/verify-email?token={token}\r\n".encode() in raw
    assert f"\r\n{token}\r\n".encode() in raw
    assert f"/api/auth/verify-email -H 'content-type: application/json' -d '{{\"token\": \"{token}\"}}'".encode() in raw
    assert b"evil" not in raw
    html = letter.get_body(("html",))
    assert html is not None
    assert f'href="https://chat.example/verify-email?token={token}"' in html.as_string()


async def test_a_token_works_once(person: Person) -> None:
    await person.sign_up()
    token = await person.mailed_token()
    await person.verify(token)

    error = await refusal(person.verify(token))

    assert (type(error), error.reason) == (InvalidArgument, "TOKEN_INVALID")
    assert error.violations[0].field == "token"


@pytest.mark.parametrize("token", ["x", "x" * 200, "nul \0", "ü"])
async def test_a_made_up_token_is_refused(person: Person, token: str) -> None:
    error = await refusal(person.verify(token))

    assert (type(error), error.reason) == (InvalidArgument, "TOKEN_INVALID")


async def test_tokens_end_after_a_day_and_those_for_passwords_after_an_hour(start: Start) -> None:
    clock = MovedClock()
    async with start(clock=clock) as auth:
        early, late, forgetful = auth.person(), auth.person(), auth.person()
        for person in (early, late):
            await person.sign_up()
        early_token, late_token = await early.mailed_token(), await late.mailed_token()
        await forgetful.register()
        await auth.stub.ForgotPassword(pb.ForgotPasswordRequest(email=forgetful.address))
        reset = pb.ResetPasswordRequest(token=await forgetful.mailed_token(), password="another password")

        clock.ahead = timedelta(minutes=61)
        assert (await refusal(auth.stub.ResetPassword(reset))).reason == "TOKEN_INVALID"
        clock.ahead = timedelta(hours=23, minutes=59)
        assert (await early.verify(early_token)).email_verified
        clock.ahead = timedelta(hours=24, seconds=1)
        assert (await refusal(late.verify(late_token))).reason == "TOKEN_INVALID"


async def test_only_an_account_that_waits_for_it_gets_another_letter_but_the_answer_is_one(auth: Auth) -> None:
    verified, waiting, unknown = auth.person(), auth.person(), new_address()
    await verified.register()
    await waiting.sign_up()
    first = await waiting.mailed_token()

    answers = [await resend(auth, address) for address in (unknown, verified.address, waiting.address)]

    # Letters leave in order: when the last one has arrived, the others have been decided on.
    second = await waiting.mailed_token()
    assert answers[0] == answers[1] == answers[2]
    assert auth.inbox.waiting(unknown) == auth.inbox.waiting(verified.address) == []
    assert (await refusal(waiting.verify(first))).reason == "TOKEN_INVALID"
    assert (await waiting.verify(second)).email_verified


async def test_a_dead_mail_server_holds_nobody_up_and_loses_no_mail(
    start: Start, new_database: Callable[[], Awaitable[str]]
) -> None:
    url, inbox, port = await new_database(), Inbox(), free_port()
    async with (
        start(database_url=url, smtp_url=f"smtp://{LOOPBACK}:{port}") as auth,
        postgres.connected(url, pool_size=1) as database,
    ):
        person = Person(auth.stub, inbox)
        await person.sign_up()

        async def failed() -> bool:
            tries = select(func.count()).where(Letter.email_key == person.address, Letter.attempts >= 2)
            async with database.transaction() as session:
                return bool(await session.scalar(tries))

        await until(failed)
        async with listening(inbox, port):
            letter = await inbox.next_to(person.address)

    assert letter["Subject"] == "Confirm your e-mail address"


async def test_a_letter_that_the_mail_server_will_never_take_is_dropped(
    auth: Auth, person: Person, database: Database
) -> None:
    auth.inbox.refused.add(person.address)
    await person.sign_up()

    async def dropped() -> bool:
        async with database.transaction() as session:
            return not await session.scalar(select(func.count()).where(Letter.email_key == person.address))

    await until(dropped)
    assert auth.inbox.waiting(person.address) == []


async def test_a_recipient_who_is_busy_holds_up_nobody_elses_mail(
    start: Start, new_database: Callable[[], Awaitable[str]]
) -> None:
    url, inbox, port = await new_database(), Inbox(), free_port()
    async with start(database_url=url, smtp_url=f"smtp://{LOOPBACK}:{port}") as auth:
        busy, person = [Person(auth.stub, inbox) for _ in range(9)], Person(auth.stub, inbox)
        inbox.busy = {each.address for each in busy}
        for each in (*busy, person):
            await each.sign_up()
        async with listening(inbox, port):
            letter = await inbox.next_to(person.address)
            inbox.busy.clear()
            for each in busy:
                await inbox.next_to(each.address)

    assert letter["Subject"] == "Confirm your e-mail address"


async def test_an_address_beyond_ascii_gets_its_mail(auth: Auth) -> None:
    person = Person(auth.stub, auth.inbox, f"ü{new_address()}")
    await person.register()


async def test_a_mail_server_that_takes_only_ascii_loses_only_the_mail_of_the_others(
    start: Start, new_database: Callable[[], Awaitable[str]]
) -> None:
    inbox = Inbox()
    async with listening(inbox, utf8=False) as port:
        own = {"database_url": await new_database(), "smtp_url": f"smtp://{LOOPBACK}:{port}"}
        async with start(**own) as auth:
            await Person(auth.stub, inbox, f"ü{new_address()}").sign_up()
            await Person(auth.stub, inbox).register()


async def test_a_letter_leaves_once_however_many_replicas_send(start: Start) -> None:
    async with start() as one, start() as other:
        people = [*(one.person() for _ in range(10)), *(other.person() for _ in range(10))]
        await asyncio.gather(*(person.sign_up() for person in people))
        for person in people:
            await person.verify(await person.mailed_token())

    assert [one.inbox.waiting(person.address) for person in people] == [[]] * 20


async def test_the_database_holds_no_token_that_works(auth: Auth, person: Person, database: Database) -> None:
    await person.sign_up()
    token = await person.mailed_token()

    async with database.transaction() as session:
        digests = (await session.scalars(select(MailToken.digest))).all()
    for digest in digests:
        for text in (digest.hex(), digest.decode("latin-1")):
            assert token not in text
            assert (await refusal(person.verify(text[:200]))).reason == "TOKEN_INVALID"


async def test_an_address_gets_five_asked_for_letters_an_hour_and_one_of_the_others_later(start: Start) -> None:
    clock = MovedClock()
    async with start(clock=clock) as auth:
        person = auth.person()
        await person.sign_up()
        tokens = [await person.mailed_token()]
        for _ in range(4):
            await resend(auth, person.address)
            tokens.append(await person.mailed_token())
        for _ in range(3):
            await resend(auth, person.address)
        await other_mail_arrives(auth)

        assert auth.inbox.waiting(person.address) == []
        clock.ahead = timedelta(hours=1, seconds=1)
        tokens.append(await person.mailed_token())
        await other_mail_arrives(auth)
        assert auth.inbox.waiting(person.address) == []
        assert (await refusal(person.verify(tokens[-2]))).reason == "TOKEN_INVALID"
        assert (await person.verify(tokens[-1])).email_verified


async def test_strangers_cannot_use_up_what_an_owner_is_told_of_the_account(auth: Auth, person: Person) -> None:
    await person.register()
    for _ in range(10):
        await auth.stub.ForgotPassword(pb.ForgotPasswordRequest(email=person.address))
    letters = [await auth.inbox.next_to(person.address) for _ in range(4)]
    token = (await person.tokens()).access_token
    change = pb.ChangePasswordRequest(current_password=person.password, new_password="another password")
    await auth.stub.ChangePassword(change, metadata=bearer(token))

    assert {letter["Subject"] for letter in letters} == {"Choose a new password"}
    assert (await auth.inbox.next_to(person.address))["Subject"] == "Your password was changed"


async def other_mail_arrives(auth: Auth) -> None:
    """Letters leave in order: what was asked for before this has been decided on."""
    other = auth.person()
    await other.sign_up()
    await other.mailed_token()
