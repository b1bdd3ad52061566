import pytest
from chatmesh.auth.v1 import auth_pb2 as pb

from auth_svc import create_admin
from svckit.errors import InvalidArgument
from tests.auth_svc.conftest import Auth
from tests.auth_svc.person import Person, refused
from tests.callers import refusal


async def test_a_new_administrator_signs_in_with_the_password_that_was_printed(
    auth: Auth, person: Person, capsys: pytest.CaptureFixture[str]
) -> None:
    await create_admin.main(auth.settings, email=person.address, password=None)
    person.password = capsys.readouterr().out.rpartition("Password: ")[2].split("\n")[0]

    user = (await person.sign_in()).user

    assert (user.role, user.email_verified) == (pb.ROLE_ADMIN, True)


async def test_again_changes_nothing(auth: Auth, person: Person, capsys: pytest.CaptureFixture[str]) -> None:
    await create_admin.main(auth.settings, email=person.address, password=person.password)
    await create_admin.main(auth.settings, email=person.address, password="another password")

    assert "keeps its password" in capsys.readouterr().out
    assert (await person.sign_in()).user.role == pb.ROLE_ADMIN


async def test_a_verified_account_is_promoted_and_keeps_its_password(auth: Auth, person: Person) -> None:
    user = await person.register()

    await create_admin.main(auth.settings, email=person.address.upper(), password=None)

    promoted = (await person.sign_in()).user
    assert (promoted.id, promoted.role) == (user.id, pb.ROLE_ADMIN)


async def test_whoever_began_an_unverified_account_does_not_become_administrator(auth: Auth, person: Person) -> None:
    await person.sign_up()
    token = await person.mailed_token()

    await create_admin.main(auth.settings, email=person.address, password="the admin's own")

    assert await refused(person.sign_in())
    assert (await refusal(person.verify(token))).reason == "TOKEN_INVALID"
    assert (await person.sign_in(password="the admin's own")).user.role == pb.ROLE_ADMIN


@pytest.mark.parametrize("password", ["", "short", "x" * 257])
async def test_a_password_of_a_wrong_length_is_refused(auth: Auth, person: Person, password: str) -> None:
    with pytest.raises(SystemExit, match="8 to 256"):
        await create_admin.main(auth.settings, email=person.address, password=password)


async def test_the_address_is_no_password(auth: Auth, person: Person) -> None:
    with pytest.raises(InvalidArgument):
        await create_admin.main(auth.settings, email=person.address, password=person.address)
