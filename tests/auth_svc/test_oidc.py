"""Signing in by a provider from PyPI: whose account it becomes, linking, and the second factor after it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest
from chatmesh.auth.v1 import auth_pb2 as pb

from auth_svc import create_admin
from svckit.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
)
from svckit.ids import new_id
from tests.auth_svc.authenticator import Holder
from tests.auth_svc.conftest import Auth, MovedClock, Start
from tests.auth_svc.inbox import token_in
from tests.auth_svc.openid import CALLBACK, RealProvider, Traveller, real_provider, session_in
from tests.auth_svc.person import Person, bearer, new_address
from tests.callers import refusal

Metadata = tuple[tuple[str, str], ...]


@pytest.fixture(scope="module")
async def provider() -> AsyncIterator[RealProvider]:
    async with real_provider() as started:
        yield started


@pytest.fixture(scope="module")
async def clocked(
    start: Start, provider: RealProvider, new_database: Callable[[], Awaitable[str]]
) -> AsyncIterator[tuple[Auth, MovedClock]]:
    clock = MovedClock()
    providers = json.dumps([{**await provider.register("real"), "display_name": "The real one"}])
    own = {"database_url": await new_database(), "oidc_return_paths": "/welcome,/settings"}
    async with start(clock=clock, oidc_providers=providers, **own) as started:
        yield started, clock


@pytest.fixture
def auth(clocked: tuple[Auth, MovedClock]) -> Auth:
    return clocked[0]


@pytest.fixture
def clock(clocked: tuple[Auth, MovedClock]) -> MovedClock:
    clocked[1].ahead = timedelta()
    return clocked[1]


@pytest.fixture
def traveller(auth: Auth, clock: MovedClock) -> Traveller:
    return Traveller(auth, "real")


async def agreed(
    traveller: Traveller, provider: RealProvider, email: str, *, verified: bool = True, subject: str = ""
) -> dict[str, str]:
    """Go there and agree; what to bring back. The subject is the address's if no other is given."""
    subject = subject or email.partition("@")[0]
    await provider.knows(subject, email=email, email_verified=verified, name="Ada Lovelace")
    await traveller.leave()
    return await provider.consent(traveller.url, subject)


async def signed_in(
    traveller: Traveller, provider: RealProvider, email: str, *, verified: bool = True, subject: str = ""
) -> Metadata:
    """Go there and back; the metadata of the session."""
    headers = await traveller.come_back(await agreed(traveller, provider, email, verified=verified, subject=subject))
    exchanged = await traveller.auth.as_edge.ExchangeSession(
        pb.ExchangeSessionRequest(session_token=session_in(headers))
    )
    return bearer(exchanged.access_token)


async def me(auth: Auth, metadata: Metadata) -> pb.User:
    return (await auth.stub.GetMe(pb.GetMeRequest(), metadata=metadata)).user


async def identities(auth: Auth, metadata: Metadata) -> list[pb.Identity]:
    return list((await auth.stub.ListIdentities(pb.ListIdentitiesRequest(), metadata=metadata)).identities)


# --- the way there and back


async def test_the_providers_are_listed(auth: Auth) -> None:
    listed = await auth.stub.ListOidcProviders(pb.ListOidcProvidersRequest())

    assert list(listed.providers) == [pb.OidcProvider(name="real", display_name="The real one")]


async def test_the_browser_is_sent_with_all_that_the_code_flow_asks_for(traveller: Traveller) -> None:
    headers = await traveller.leave()

    assert (headers["x-http-status"], headers["location"]) == ("302", traveller.url)
    assert headers["set-cookie"].endswith("; Path=/api/auth/oidc; Max-Age=600; HttpOnly; SameSite=Lax")
    sent = traveller.sent
    assert (sent["response_type"], sent["code_challenge_method"]) == ("code", "S256")
    assert sent["redirect_uri"] == CALLBACK.format("real")
    assert {len(sent[name]) for name in ("nonce", "code_challenge")} == {43}
    assert traveller.cookie not in traveller.url


async def test_two_travels_have_nothing_in_common(traveller: Traveller) -> None:
    await traveller.leave()
    first = {**traveller.sent, "cookie": traveller.cookie}
    await traveller.leave()
    second = {**traveller.sent, "cookie": traveller.cookie}

    for name in ("state", "nonce", "code_challenge", "cookie"):
        assert first[name] != second[name]


async def test_it_ends_on_the_path_that_was_asked_for_and_the_luggage_is_gone(
    traveller: Traveller, provider: RealProvider
) -> None:
    email = new_address()
    await provider.knows(email, email=email, email_verified=True)
    await traveller.leave(return_to="/settings")

    headers = await traveller.come_back(await provider.consent(traveller.url, email))

    assert ("x-http-status", "303") in headers
    assert ("location", "https://chat.example/settings") in headers
    assert ("set-cookie", "oidc=; Path=/api/auth/oidc; Max-Age=0; HttpOnly; SameSite=Lax") in headers


@pytest.mark.parametrize("path", ["/elsewhere", "https://evil.example/", "//evil.example", "/welcome/../..", "\\evil"])
async def test_it_ends_on_no_other_path(traveller: Traveller, path: str) -> None:
    error = await refusal(traveller.leave(return_to=path))

    assert (type(error), error.reason) == (InvalidArgument, "RETURN_PATH_INVALID")


async def test_an_unknown_provider_is_not_found(auth: Auth, clock: MovedClock) -> None:
    assert isinstance(await refusal(Traveller(auth, "nobody").leave()), NotFound)


async def test_whoever_says_no_there_is_not_signed_in(traveller: Traveller, provider: RealProvider) -> None:
    await traveller.leave()
    brought = await provider.consent(traveller.url, "somebody", action="deny")

    code = await traveller.sent_back({"state": traveller.sent["state"], **brought})

    assert brought["error"] == "access_denied"
    assert code == "oidc_denied"


async def test_an_answer_for_another_browser_is_refused(
    auth: Auth, clock: MovedClock, traveller: Traveller, provider: RealProvider
) -> None:
    await traveller.leave()
    brought = await provider.consent(traveller.url, "somebody")
    other = Traveller(auth, "real")
    await other.leave()

    errors = [
        await refusal(other.come_back(brought)),
        await refusal(Traveller(auth, "real").come_back(brought)),
        await refusal(traveller.come_back({**brought, "state": other.sent["state"]})),
        await refusal(traveller.come_back({**brought, "state": "made up"})),
        await refusal(traveller.come_back({**brought, "state": brought["state"][:-4] + "AAAA"})),
        await refusal(traveller.come_back({**brought, "state": "...."})),
        await refusal(traveller.come_back({"code": brought["code"]})),
    ]

    assert {(type(error), error.reason) for error in errors} == {(InvalidArgument, "OIDC_STATE_INVALID")}


async def test_an_answer_after_ten_minutes_is_refused(
    traveller: Traveller, provider: RealProvider, clock: MovedClock
) -> None:
    await traveller.leave()
    brought = await provider.consent(traveller.url, "somebody")
    clock.ahead = timedelta(minutes=10, seconds=1)

    assert (await refusal(traveller.come_back(brought))).reason == "OIDC_STATE_INVALID"


async def test_a_code_works_once(traveller: Traveller, provider: RealProvider) -> None:
    email = new_address()
    await provider.knows(email, email=email, email_verified=True)
    await traveller.leave()
    brought = await provider.consent(traveller.url, email)
    await traveller.come_back(brought)

    assert await traveller.sent_back(brought) == "oidc_token_invalid"


# --- whose account


async def test_who_is_new_here_gets_a_verified_account_without_a_password(
    auth: Auth, traveller: Traveller, provider: RealProvider
) -> None:
    email = new_address()

    user = await me(auth, await signed_in(traveller, provider, email))

    assert (user.email, user.name, user.email_verified, user.role) == (email, "Ada Lovelace", True, pb.ROLE_USER)
    refused = await refusal(Person(auth.stub, auth.inbox, email).sign_in())
    assert refused.reason == "CREDENTIALS_INVALID"


async def test_the_same_identity_is_the_same_account_whatever_its_address_is_by_then(
    auth: Auth, traveller: Traveller, provider: RealProvider
) -> None:
    subject = new_id()
    first = await me(auth, await signed_in(traveller, provider, new_address(), subject=subject))

    metadata = await signed_in(traveller, provider, new_address(), subject=subject)

    assert await me(auth, metadata) == first
    assert (await identities(auth, metadata))[0].HasField("last_used_time")


async def test_who_is_new_and_comes_back_many_times_at_once_gets_one_account(
    auth: Auth, clock: MovedClock, provider: RealProvider
) -> None:
    email, subject = new_address(), new_id()
    await provider.knows(subject, email=email, email_verified=True)
    travellers = [Traveller(auth, "real") for _ in range(5)]
    for traveller in travellers:
        await traveller.leave()
    brought = [await provider.consent(traveller.url, subject) for traveller in travellers]

    answers = await asyncio.gather(
        *(traveller.come_back(each) for traveller, each in zip(travellers, brought, strict=True))
    )

    exchanged = [
        await auth.as_edge.ExchangeSession(pb.ExchangeSessionRequest(session_token=session_in(headers)))
        for headers in answers
    ]
    users = [await me(auth, bearer(each.access_token)) for each in exchanged]
    assert {user.id for user in users} == {users[0].id}
    assert len(await identities(auth, bearer(exchanged[0].access_token))) == 1


async def test_an_account_without_a_password_gets_one_by_a_reset(
    auth: Auth, traveller: Traveller, provider: RealProvider
) -> None:
    person = Person(auth.stub, auth.inbox)
    user = await me(auth, await signed_in(traveller, provider, person.address))
    await auth.stub.ForgotPassword(pb.ForgotPasswordRequest(email=person.address))
    token = token_in(await auth.inbox.next_to(person.address))

    await auth.stub.ResetPassword(pb.ResetPasswordRequest(token=token, password=person.password))

    assert (await person.sign_in()).user == user


async def test_an_identity_joins_the_account_of_its_address_if_both_have_verified_it(
    auth: Auth, traveller: Traveller, provider: RealProvider
) -> None:
    person = Person(auth.stub, auth.inbox)
    user = await person.register()

    metadata = await signed_in(traveller, provider, person.address.upper())

    assert await me(auth, metadata) == user
    assert (await person.sign_in()).user == user
    assert (await auth.inbox.next_to(person.address))["Subject"] == "Another way to sign in was added"


async def test_an_address_that_the_provider_has_not_verified_opens_nothing(
    auth: Auth, traveller: Traveller, provider: RealProvider
) -> None:
    person = Person(auth.stub, auth.inbox)
    await person.register()

    for email in (person.address, new_address()):
        brought = await agreed(traveller, provider, email, verified=False)
        assert await traveller.sent_back(brought) == "oidc_email_not_verified"


async def test_nobody_is_let_into_an_account_that_somebody_began_with_their_address(
    auth: Auth, traveller: Traveller, provider: RealProvider
) -> None:
    """Pre-hijacking: the stranger knows the password, the owner has the provider."""
    stranger = Person(auth.stub, auth.inbox)
    await stranger.sign_up()
    link = await stranger.mailed_token()

    metadata = await signed_in(traveller, provider, stranger.address)

    owner = await me(auth, metadata)
    assert (owner.email, owner.name, owner.email_verified) == (stranger.address, "Ada Lovelace", True)
    assert (await refusal(stranger.verify(link))).reason == "TOKEN_INVALID"
    assert (await refusal(stranger.sign_in())).reason == "CREDENTIALS_INVALID"


async def test_a_disabled_account_is_not_let_in_whoever_vouches(
    auth: Auth, traveller: Traveller, provider: RealProvider, clock: MovedClock
) -> None:
    email = new_address()
    user = await me(auth, await signed_in(traveller, provider, email))
    admin = auth.person()
    await create_admin.main(auth.settings, email=admin.address, password=admin.password)
    as_admin = bearer((await admin.tokens()).access_token)
    await auth.stub.UpdateUser(pb.UpdateUserRequest(user_id=user.id, disabled=True), metadata=as_admin)

    assert await traveller.sent_back(await agreed(traveller, provider, email)) == "credentials_invalid"


async def test_a_second_factor_is_asked_for_here_as_well(
    auth: Auth, traveller: Traveller, provider: RealProvider, clock: MovedClock
) -> None:
    holder = Holder(auth.person(), clock)
    await holder.turn_on()
    await provider.knows("holder", email=holder.person.address, email_verified=True)
    await traveller.leave()

    headers = dict(await traveller.come_back(await provider.consent(traveller.url, "holder")))

    path, _, token = headers["location"].partition("#mfaChallenge=")
    assert path == "https://chat.example/welcome"
    assert headers["set-cookie"].startswith("oidc=;")
    assert (await holder.verify(token, code=holder.code())).user.email == holder.person.address


# --- linking


async def test_an_identity_of_any_address_is_linked_by_whoever_is_signed_in(
    auth: Auth, traveller: Traveller, provider: RealProvider
) -> None:
    person = Person(auth.stub, auth.inbox)
    user = await person.register()
    metadata = bearer((await person.tokens()).access_token)
    other = new_address()
    await provider.knows(other, email=other, email_verified=False)
    await traveller.leave_to_link(metadata)

    headers = dict(await traveller.come_back(await provider.consent(traveller.url, other)))

    assert headers["location"] == "https://chat.example/welcome"
    assert [(each.provider, each.email) for each in await identities(auth, metadata)] == [("real", "")]
    assert (await auth.inbox.next_to(person.address))["Subject"] == "Another way to sign in was added"
    assert await me(auth, await signed_in(traveller, provider, other, verified=False, subject=other)) == user


async def test_an_identity_that_is_somebody_elses_is_not_linked(
    auth: Auth, traveller: Traveller, provider: RealProvider
) -> None:
    subject = new_id()
    await signed_in(traveller, provider, new_address(), subject=subject)
    person = Person(auth.stub, auth.inbox)
    await person.register()
    await traveller.leave_to_link(bearer((await person.tokens()).access_token))

    assert await traveller.sent_back(await provider.consent(traveller.url, subject)) == "identity_taken"


async def test_a_link_is_not_finished_by_somebody_else(
    auth: Auth, traveller: Traveller, provider: RealProvider
) -> None:
    person, other = Person(auth.stub, auth.inbox), Person(auth.stub, auth.inbox)
    await person.register()
    await other.register()
    await traveller.leave_to_link(bearer((await person.tokens()).access_token))
    as_other = bearer((await other.tokens()).access_token)

    assert await traveller.sent_back(await provider.consent(traveller.url, new_id()), as_other) == "sign_in_again"


async def test_whoever_was_signed_out_by_a_password_reset_has_nothing_to_link_any_more(
    auth: Auth, traveller: Traveller, provider: RealProvider
) -> None:
    """A stolen session sets out to link the thief's identity; the owner resets the password before it is back."""
    owner = Person(auth.stub, auth.inbox)
    await owner.register()
    await traveller.leave_to_link(bearer((await owner.tokens()).access_token))
    brought = await provider.consent(traveller.url, new_id())
    await auth.stub.ForgotPassword(pb.ForgotPasswordRequest(email=owner.address))
    token = await owner.mailed_token()
    await auth.stub.ResetPassword(pb.ResetPasswordRequest(token=token, password="another password"))

    assert await traveller.sent_back(brought) == "sign_in_again"


async def test_a_link_is_begun_soon_after_signing_in_and_once_for_each_provider(
    auth: Auth, traveller: Traveller, provider: RealProvider, clock: MovedClock
) -> None:
    metadata = await signed_in(traveller, provider, new_address())
    assert (await refusal(traveller.leave_to_link(metadata))).reason == "IDENTITY_EXISTS"
    clock.ahead = timedelta(minutes=10, seconds=1)

    assert (await refusal(traveller.leave_to_link(metadata))).reason == "SIGN_IN_AGAIN"


async def test_the_last_way_in_stays(auth: Auth, traveller: Traveller, provider: RealProvider) -> None:
    metadata = await signed_in(traveller, provider, new_address())
    (identity,) = await identities(auth, metadata)

    error = await refusal(
        auth.stub.UnlinkIdentity(pb.UnlinkIdentityRequest(identity_id=identity.id), metadata=metadata)
    )

    assert (type(error), error.reason) == (FailedPrecondition, "LAST_IDENTITY")


async def test_an_identity_that_was_taken_away_signs_nobody_in_by_itself(
    auth: Auth, traveller: Traveller, provider: RealProvider
) -> None:
    person, subject = Person(auth.stub, auth.inbox), new_id()
    await person.register()
    metadata = await signed_in(traveller, provider, person.address, subject=subject)
    (identity,) = await identities(auth, metadata)
    request = pb.UnlinkIdentityRequest(identity_id=identity.id)

    await auth.stub.UnlinkIdentity(request, metadata=metadata)

    assert await identities(auth, metadata) == []
    assert isinstance(await refusal(auth.stub.UnlinkIdentity(request, metadata=metadata)), NotFound)
    brought = await agreed(traveller, provider, person.address, verified=False, subject=subject)
    assert await traveller.sent_back(brought) == "oidc_email_not_verified"


async def test_nobody_takes_somebody_elses_identity_away(
    auth: Auth, traveller: Traveller, provider: RealProvider
) -> None:
    (theirs,) = await identities(auth, await signed_in(traveller, provider, new_address()))
    mine = await signed_in(traveller, provider, new_address())

    error = await refusal(auth.stub.UnlinkIdentity(pb.UnlinkIdentityRequest(identity_id=theirs.id), metadata=mine))

    assert isinstance(error, NotFound)
