"""What a person gets who asks for all that is kept about them."""

from chatmesh.auth.v1 import auth_pb2 as pb
from google.protobuf.json_format import MessageToJson

from auth_svc import create_admin
from svckit.errors import FailedPrecondition
from tests.auth_svc.conftest import Auth
from tests.auth_svc.person import Person, bearer, refused
from tests.callers import refusal


async def export(auth: Auth, access_token: str) -> pb.ExportMeResponse:
    return await auth.stub.ExportMe(pb.ExportMeRequest(), metadata=bearer(access_token))


async def test_it_has_everything_about_the_account(auth: Auth, person: Person) -> None:
    user = await person.register()
    await refused(person.sign_in(password="not the password"))
    ended, token = await person.tokens(), (await person.tokens()).access_token
    await auth.stub.SignOut(pb.SignOutRequest(), metadata=bearer(ended.access_token))
    made = await auth.stub.CreateApiKey(pb.CreateApiKeyRequest(name="job"), metadata=bearer(token))

    found = await export(auth, token)

    assert (found.user, found.mfa_enabled, list(found.api_keys)) == (user, False, [made.api_key])
    assert [session.current for session in found.sessions] == [True, False]
    assert [event.type for event in found.audit_events] == [
        "api_key.made",
        "session.ended",
        "session.opened",
        "session.opened",
        "sign_in.failed",
        "user.verified",
    ]


async def test_it_has_no_secret_and_nothing_of_anybody_else(auth: Auth, person: Person) -> None:
    stranger = auth.person()
    await person.register()
    await stranger.register()
    await stranger.tokens()
    tokens = await person.tokens()
    made = await auth.stub.CreateApiKey(pb.CreateApiKeyRequest(name="job"), metadata=bearer(tokens.access_token))

    text = MessageToJson(await export(auth, tokens.access_token))

    secrets = [person.password, tokens.access_token, tokens.refresh_token, made.secret, "argon2", stranger.address]
    assert [secret for secret in secrets if secret in text] == []


async def test_it_does_not_say_where_an_administrator_was(auth: Auth, person: Person) -> None:
    admin = auth.person()
    await create_admin.main(auth.settings, email=admin.address, password=admin.password)
    user = await person.register()
    request = pb.UpdateUserRequest(user_id=user.id, role=pb.ROLE_ANALYST)
    await auth.stub.UpdateUser(request, metadata=bearer((await admin.tokens()).access_token))

    found = await export(auth, (await person.tokens()).access_token)

    (changed,) = [event for event in found.audit_events if event.type == "user.role_changed"]
    assert changed.detail
    assert (changed.actor_id, changed.session_id, changed.ip_address, changed.user_agent) == ("", "", "", "")


async def test_an_api_key_exports_nothing(auth: Auth, person: Person) -> None:
    await person.register()
    token = (await person.tokens()).access_token
    made = await auth.stub.CreateApiKey(pb.CreateApiKeyRequest(name="job"), metadata=bearer(token))
    exchanged = await auth.as_edge.ExchangeSession(pb.ExchangeSessionRequest(api_key=made.secret))

    error = await refusal(export(auth, exchanged.access_token))

    assert (type(error), error.reason) == (FailedPrecondition, "SESSION_NEEDED")


async def test_a_browser_saves_it_as_a_file(auth: Auth, person: Person) -> None:
    await person.register()
    call = auth.stub.ExportMe(pb.ExportMeRequest(), metadata=bearer((await person.tokens()).access_token))
    await call

    assert str((await call.initial_metadata())["content-disposition"]).startswith("attachment;")
