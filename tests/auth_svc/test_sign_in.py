from sqlalchemy import select

from auth_svc.models import Session, User
from svckit.errors import FailedPrecondition, Unauthenticated
from svckit.postgres import Database
from tests.auth_svc.conftest import Auth, Start
from tests.auth_svc.hashing import CountingHasher
from tests.auth_svc.person import Person, refused
from tests.auth_svc.statements import statements
from tests.callers import refusal


async def test_a_wrong_password_and_an_unknown_address_are_one_error_and_the_same_work(start: Start) -> None:
    hasher = CountingHasher()
    async with start(hasher=hasher) as auth:
        owner = auth.person()
        await owner.register()
        hasher.hashed = hasher.verified = 0

        wrong = await refusal(owner.sign_in(password="not the password"))
        assert (hasher.hashed, hasher.verified) == (0, 1)
        unknown = await refusal(auth.person().sign_in())
        assert (hasher.hashed, hasher.verified) == (0, 2)
        no_address = await refusal(Person(auth.stub, auth.inbox, address="no address\0").sign_in())
        assert (hasher.hashed, hasher.verified) == (0, 3)

        assert isinstance(wrong, Unauthenticated)
        assert wrong.reason == "CREDENTIALS_INVALID"
        assert {(error.reason, error.message) for error in (wrong, unknown, no_address)} == {
            (wrong.reason, wrong.message)
        }


async def test_only_who_knows_the_password_hears_that_the_address_is_not_verified(person: Person) -> None:
    await person.sign_up()

    assert await refused(person.sign_in(password="not the password"))
    error = await refusal(person.sign_in())
    assert (type(error), error.reason) == (FailedPrecondition, "EMAIL_NOT_VERIFIED")


async def test_a_password_is_hashed_anew_when_the_parameters_have_changed(start: Start) -> None:
    hasher = CountingHasher(memory_kib=128)
    async with start() as before, start(hasher=hasher) as after:
        owner = before.person()
        await owner.register()
        hasher.hashed = 0
        owner = Person(after.stub, after.inbox, owner.address)

        await owner.sign_in()
        await owner.sign_in()

        assert hasher.hashed == 1


async def test_no_statement_of_a_sign_in_goes_through_sqlalchemy(person: Person) -> None:
    """Which takes more of the processor's time for each than PostgreSQL does: for six, more than all the rest."""
    await person.register()
    await person.sign_in()

    with statements() as made:
        await person.sign_in()
        await refused(person.sign_in(password="not the password"))

    assert made == []


async def test_each_sign_in_opens_a_session_of_its_own(person: Person) -> None:
    await person.register()

    assert await person.session_token() != await person.session_token()


async def test_a_disabled_account_cannot_be_told_from_a_wrong_password(person: Person, database: Database) -> None:
    registered = await person.register()
    async with database.transaction() as session:
        user = (await session.scalars(select(User).where(User.id == registered.id))).one()
        user.disabled_at = user.created_at

    error = await refusal(person.sign_in())

    assert (type(error), error.reason) == (Unauthenticated, "CREDENTIALS_INVALID")


async def test_the_browser_and_its_address_are_what_the_edge_says(
    auth: Auth, person: Person, database: Database
) -> None:
    user = await person.register()
    metadata = (("x-client-user-agent", "Browser/1"), ("x-client-ip", "192.0.2.7"))

    await Person(auth.as_edge, auth.inbox, person.address).sign_in(metadata=metadata)
    await person.sign_in(metadata=metadata)

    async with database.transaction() as session:
        opened = await session.scalars(select(Session).where(Session.user_id == user.id).order_by(Session.id))
        through_edge, direct = opened.all()
    assert (through_edge.user_agent, through_edge.ip_address) == ("Browser/1", "192.0.2.7")
    assert direct.user_agent.startswith("grpc-python-asyncio/")
    assert direct.ip_address == "127.0.0.1"


async def test_in_production_the_cookie_travels_over_https_only(start: Start) -> None:
    secrets = {"service_secret": "s" * 32, "mfa_secret": "m" * 32}
    async with start(chatmesh_env="production", **secrets, mail_from="chat <chat@chat.example>") as auth:
        owner = auth.person()
        await owner.register()
        call = owner.sign_in()
        await call

        assert str((await call.initial_metadata())["set-cookie"]).endswith("; HttpOnly; SameSite=Lax; Secure")
