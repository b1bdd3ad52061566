import asyncio
import uuid

import pytest
from chatmesh.auth.v1 import auth_pb2 as pb
from sqlalchemy import func, select

from auth_svc.models import User
from svckit.errors import FailedPrecondition, InvalidArgument
from svckit.postgres import Database
from tests.auth_svc.conftest import Auth, Start
from tests.auth_svc.hashing import CountingHasher
from tests.auth_svc.inbox import text_of
from tests.auth_svc.person import PASSWORD, Person, new_address, refused
from tests.callers import refusal


async def test_the_answer_and_the_work_are_the_same_for_a_new_a_pending_and_an_existing_account(start: Start) -> None:
    hasher = CountingHasher()
    async with start(hasher=hasher) as auth:
        owner = auth.person()
        hasher.hashed = 0

        new = await owner.sign_up()
        await owner.mailed_token()
        pending = await owner.sign_up()
        await owner.verify(await owner.mailed_token())
        existing = await owner.sign_up()

        assert new == pending == existing
        assert hasher.hashed == 3


async def test_the_owner_of_an_existing_account_is_told_and_nothing_changes(auth: Auth, person: Person) -> None:
    await person.register()

    await Person(auth.stub, auth.inbox, person.address.upper(), "another password").sign_up(name="Mallory")
    letter = await auth.inbox.next_to(person.address)

    assert letter["Subject"] == "You already have an account"
    assert "token" not in text_of(letter)
    assert (await person.sign_in()).user.name == ""


async def test_a_new_sign_up_takes_the_place_of_one_that_was_never_verified(auth: Auth, person: Person) -> None:
    await person.sign_up()
    first_token = await person.mailed_token()
    owner = Person(auth.stub, auth.inbox, person.address, "another password")
    await owner.sign_up(name="The owner")

    error = await refusal(person.verify(first_token))
    user = await owner.verify(await owner.mailed_token())

    assert (type(error), error.reason) == (InvalidArgument, "TOKEN_INVALID")
    assert user.name == "The owner"
    assert await refused(person.sign_in())
    assert (await owner.sign_in()).user == user


async def test_sign_ups_at_once_make_one_account(auth: Auth, person: Person, database: Database) -> None:
    answers = await asyncio.gather(*(person.sign_up() for _ in range(5)))

    async with database.transaction() as session:
        accounts = await session.scalar(select(func.count()).where(User.email == person.address))
    assert accounts == 1
    assert all(answer == answers[0] for answer in answers)


async def test_one_address_in_two_spellings_is_one_account(auth: Auth) -> None:
    local = new_address().partition("@")[0]
    person = Person(auth.stub, auth.inbox, f" {local}@Bücher.example ")
    await person.sign_up()
    letter = await auth.inbox.next_to(f"{local}@xn--bcher-kva.example")
    assert letter["Subject"] == "Confirm your e-mail address"

    again = Person(auth.stub, auth.inbox, f"{local.upper()}@XN--BCHER-KVA.example")
    error = await refusal(again.sign_in())

    assert isinstance(error, FailedPrecondition)


@pytest.mark.parametrize(
    ("request_", "field", "reason"),
    [
        (pb.SignUpRequest(email="nobody", password=PASSWORD), "email", "EMAIL_INVALID"),
        (pb.SignUpRequest(email="a\0b@example.com", password=PASSWORD), "email", "EMAIL_INVALID"),
        (pb.SignUpRequest(email="a@example.com\r\nBcc: b@example.com", password=PASSWORD), "email", "EMAIL_INVALID"),
        (pb.SignUpRequest(email="a@example.com", password=" A@Example.com"), "password", "PASSWORD_GUESSABLE"),
        (pb.SignUpRequest(email="ada.l@example.com", password="!Ada.L1984"), "password", "PASSWORD_GUESSABLE"),
        (pb.SignUpRequest(email="a@example.com", password="ChatMesh2026!"), "password", "PASSWORD_GUESSABLE"),
        (pb.SignUpRequest(email="a@example.com", password="PassWord123"), "password", "PASSWORD_COMMON"),
        (pb.SignUpRequest(email="a@example.com", password=" " * 8), "password", "PASSWORD_COMMON"),
        (pb.SignUpRequest(email="a@example.com", password=PASSWORD, name="two\u2028lines"), "name", ""),
        (pb.SignUpRequest(email="a@example.com", password=" ｐａｓｓｗｏｒｄ１２３ "), "password", "PASSWORD_COMMON"),
        (pb.SignUpRequest(email="a@example.com", password="e\u0301" * 4), "password", "PASSWORD_TOO_SHORT"),
        (pb.SignUpRequest(email="a@example.com", password=PASSWORD, name="a\0b"), "name", ""),
        (pb.SignUpRequest(email="a@example.com", password="short"), "password", "string.min_len"),
        (pb.SignUpRequest(email="a@example.com", password="x" * 10_000), "password", "string.max_len"),
        (pb.SignUpRequest(email="a@example.com", password=PASSWORD, name="x" * 101), "name", "string.max_len"),
    ],
)
async def test_what_cannot_be_an_account_is_refused_by_field(
    auth: Auth, request_: pb.SignUpRequest, field: str, reason: str
) -> None:
    error = await refusal(auth.stub.SignUp(request_))

    assert isinstance(error, InvalidArgument)
    assert [(violation.field, violation.reason) for violation in error.violations] == [(field, reason)]


@pytest.mark.parametrize("password", ["nul \0 inside", "Ünïcödé \U0001f600 pass", " spaces around ", "x" * 256])
async def test_an_odd_password_counts_just_as_it_was_typed(auth: Auth, password: str) -> None:
    person = Person(auth.stub, auth.inbox, password=password)
    await person.register()

    assert (await person.sign_in()).user.email == person.address
    for other in (password[:-1], f"{password[:-1]}?", password.replace("\0", "")):
        assert other == password or await refused(person.sign_in(password=other))


async def test_a_password_counts_on_every_keyboard(auth: Auth) -> None:
    """One composes é, another sends e and an accent; one has ﬁ as a single character."""
    person = Person(auth.stub, auth.inbox, password="caf\u00e9 of\ufb01ce")
    await person.register()

    assert (await person.sign_in(password="cafe\u0301 office")).user.email == person.address
    assert await refused(person.sign_in(password="cafe office"))


async def test_an_address_of_digits_does_not_make_every_password_of_digits_guessable(auth: Auth) -> None:
    person = Person(auth.stub, auth.inbox, f"{uuid.uuid4().int}@example.com", "7316-5082-9941")
    await person.register()

    assert (await person.sign_in()).user.email == person.address


async def test_a_password_is_never_cut(auth: Auth) -> None:
    """What NFKC makes of this character is 18 characters long: 256 of them are hashed as 4,608."""
    person = Person(auth.stub, auth.inbox, password="\ufdfa" * 256)
    await person.register()

    assert (await person.sign_in()).user.email == person.address
    assert await refused(person.sign_in(password="\ufdfa" * 255))
