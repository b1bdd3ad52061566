import asyncio

import grpc
import pytest
from chatmesh.auth.v1 import auth_pb2 as pb

from svckit.errors import InvalidArgument, Unauthenticated
from tests.auth_svc.conftest import Auth
from tests.auth_svc.person import PASSWORD, Person, bearer, refused
from tests.callers import refusal
from tests.waiting import until

NEW = "a new password"


async def change(auth: Auth, access_token: str, *, current: str = PASSWORD, new: str = NEW) -> None:
    request = pb.ChangePasswordRequest(current_password=current, new_password=new)
    await auth.stub.ChangePassword(request, metadata=bearer(access_token))


async def test_a_changed_password_ends_the_other_sessions_and_keeps_this_one(auth: Auth, person: Person) -> None:
    await person.register()
    this, other, cookie = await person.tokens(), await person.tokens(), await person.session_token()

    await change(auth, this.access_token)

    assert await refused(auth.as_edge.ExchangeSession(pb.ExchangeSessionRequest(session_token=cookie)))
    await until(lambda: refused(auth.stub.GetMe(pb.GetMeRequest(), metadata=bearer(other.access_token))))
    assert await refused(auth.stub.RefreshToken(pb.RefreshTokenRequest(refresh_token=other.refresh_token)))
    assert (await auth.stub.GetMe(pb.GetMeRequest(), metadata=bearer(this.access_token))).user.email == person.address
    assert (await auth.stub.RefreshToken(pb.RefreshTokenRequest(refresh_token=this.refresh_token))).tokens
    assert await refused(person.sign_in())
    assert (await person.sign_in(password=NEW)).user.email == person.address
    assert (await auth.inbox.next_to(person.address))["Subject"] == "Your password was changed"


async def test_who_does_not_know_the_password_changes_nothing(auth: Auth, person: Person) -> None:
    await person.register()
    token = (await person.tokens()).access_token

    error = await refusal(change(auth, token, current="not the password"))

    assert (type(error), error.reason) == (Unauthenticated, "CREDENTIALS_INVALID")
    assert (await person.sign_in()).user.email == person.address


@pytest.mark.parametrize(("new", "reason"), [("short", "string.min_len"), ("x" * 257, "string.max_len")])
async def test_a_refused_password_is_named_by_its_field(auth: Auth, person: Person, new: str, reason: str) -> None:
    await person.register()
    token = (await person.tokens()).access_token

    error = await refusal(change(auth, token, new=new))

    assert isinstance(error, InvalidArgument)
    assert [(violation.field, violation.reason) for violation in error.violations] == [("new_password", reason)]


async def test_the_address_is_no_new_password(auth: Auth, person: Person) -> None:
    await person.register()
    token = (await person.tokens()).access_token

    error = await refusal(change(auth, token, new=person.address))

    assert isinstance(error, InvalidArgument)
    assert error.violations[0].field == "new_password"


async def test_a_reset_link_that_waits_is_void_once_the_password_is_changed(auth: Auth, person: Person) -> None:
    await person.register()
    await auth.stub.ForgotPassword(pb.ForgotPasswordRequest(email=person.address))
    token = await person.mailed_token()

    await change(auth, (await person.tokens()).access_token)

    error = await refusal(auth.stub.ResetPassword(pb.ResetPasswordRequest(token=token, password="third password")))
    assert error.reason == "TOKEN_INVALID"


async def test_of_two_changes_at_once_one_wins_and_its_password_is_the_one(auth: Auth, person: Person) -> None:
    await person.register()
    one, other = await person.tokens(), await person.tokens()

    outcomes = await asyncio.gather(
        change(auth, one.access_token, new="password of one"),
        change(auth, other.access_token, new="password of other"),
        return_exceptions=True,
    )

    failures = [outcome for outcome in outcomes if outcome]
    assert len(failures) == 1
    assert isinstance(failures[0], grpc.aio.AioRpcError)
    won = "password of other" if outcomes[0] else "password of one"
    assert (await person.sign_in(password=won)).user.email == person.address
