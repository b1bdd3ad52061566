from chatmesh.auth.v1 import auth_pb2 as pb

from svckit.errors import InvalidArgument
from tests.auth_svc.conftest import Auth
from tests.auth_svc.person import Person, bearer, new_address, refused
from tests.callers import refusal
from tests.waiting import until


async def forgot(auth: Auth, address: str) -> pb.ForgotPasswordResponse:
    return await auth.stub.ForgotPassword(pb.ForgotPasswordRequest(email=address))


async def reset(auth: Auth, token: str, password: str) -> pb.ResetPasswordResponse:
    return await auth.stub.ResetPassword(pb.ResetPasswordRequest(token=token, password=password))


async def test_a_forgotten_password_is_replaced_and_every_session_ends(auth: Auth, person: Person) -> None:
    await person.register()
    cookie = await person.session_token()
    metadata = bearer((await person.sign_in()).tokens.access_token)
    await forgot(auth, person.address)

    await reset(auth, await person.mailed_token(), "another password")

    assert await refused(auth.as_edge.ExchangeSession(pb.ExchangeSessionRequest(session_token=cookie)))
    await until(lambda: refused(auth.stub.GetMe(pb.GetMeRequest(), metadata=metadata)))
    assert await refused(person.sign_in())
    assert (await person.sign_in(password="another password")).user.email == person.address
    assert (await auth.inbox.next_to(person.address))["Subject"] == "Your password was changed"


async def test_only_an_owner_gets_a_letter_but_the_answer_is_one(auth: Auth, person: Person) -> None:
    await person.register()
    unknown = new_address()

    answers = [await forgot(auth, unknown), await forgot(auth, person.address)]

    await person.mailed_token()
    assert answers[0] == answers[1]
    assert auth.inbox.waiting(unknown) == []


async def test_a_token_works_once_and_a_newer_one_voids_it(auth: Auth, person: Person) -> None:
    await person.register()
    await forgot(auth, person.address)
    first = await person.mailed_token()
    await forgot(auth, person.address)
    second = await person.mailed_token()

    voided = await refusal(reset(auth, first, "another password"))
    await reset(auth, second, "another password")
    used = await refusal(reset(auth, second, "a third password"))

    assert voided.reason == used.reason == "TOKEN_INVALID"


async def test_a_refused_password_leaves_the_token_good(auth: Auth, person: Person) -> None:
    await person.register()
    await forgot(auth, person.address)
    token = await person.mailed_token()

    error = await refusal(reset(auth, token, person.address.upper()))
    await reset(auth, token, "another password")

    assert (type(error), error.reason) == (InvalidArgument, "PASSWORD_GUESSABLE")


async def test_a_token_is_good_for_its_own_purpose_only(auth: Auth, person: Person) -> None:
    await person.sign_up()
    token = await person.mailed_token()

    error = await refusal(reset(auth, token, "another password"))

    assert error.reason == "TOKEN_INVALID"
    assert (await person.verify(token)).email_verified


async def test_a_reset_proves_the_address_of_an_account_that_somebody_else_began(auth: Auth, person: Person) -> None:
    await person.sign_up()
    verification = await person.mailed_token()
    await forgot(auth, person.address)
    await reset(auth, await person.mailed_token(), "another password")

    assert (await refusal(person.verify(verification))).reason == "TOKEN_INVALID"
    assert await refused(person.sign_in())
    assert (await person.sign_in(password="another password")).user.email_verified
