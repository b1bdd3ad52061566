from chatmesh.auth.v1 import auth_pb2 as pb

from svckit.errors import InvalidArgument, NotFound
from svckit.ids import new_id
from tests.auth_svc.conftest import Auth
from tests.auth_svc.person import Person, bearer, refused
from tests.callers import refusal
from tests.waiting import until


async def sessions_of(auth: Auth, access_token: str, **request: object) -> pb.ListSessionsResponse:
    return await auth.stub.ListSessions(pb.ListSessionsRequest(**request), metadata=bearer(access_token))  # type: ignore[arg-type]


async def test_people_see_where_they_are_signed_in_newest_first_and_nobody_elses(auth: Auth, person: Person) -> None:
    await person.register()
    browser = (("x-client-user-agent", "Browser/1"), ("x-client-ip", "192.0.2.7"))
    await Person(auth.as_edge, auth.inbox, person.address).sign_in(metadata=browser)
    current = await person.tokens()
    stranger = auth.person()
    await stranger.register()
    await stranger.tokens()

    this, other = (await sessions_of(auth, current.access_token)).sessions

    assert (this.current, other.current) == (True, False)
    assert (other.user_agent, other.ip_address) == ("Browser/1", "192.0.2.7")
    assert this.expire_time.seconds - this.create_time.seconds == 7 * 86_400


async def test_the_list_comes_in_pages_that_neither_repeat_nor_skip(auth: Auth, person: Person) -> None:
    await person.register()
    tokens = [(await person.tokens()).access_token for _ in range(5)]
    found: list[str] = []
    page_token = ""
    while page_token or not found:
        page = await sessions_of(auth, tokens[0], page_size=2, page_token=page_token)
        found += [session.id for session in page.sessions]
        page_token = page.next_page_token

    assert found == sorted(set(found), reverse=True)
    assert len(found) == 5
    error = await refusal(sessions_of(auth, tokens[0], page_token="nonsense"))
    assert (type(error), error.reason) == (InvalidArgument, "PAGE_TOKEN_INVALID")


async def test_a_revoked_session_ends_with_all_that_proves_it(auth: Auth, person: Person) -> None:
    await person.register()
    cookie = await person.session_token()
    lost = await person.tokens()
    current = (await person.tokens()).access_token
    _, gone, browser = (await sessions_of(auth, current)).sessions

    for session in (gone, browser):
        await auth.stub.RevokeSession(pb.RevokeSessionRequest(session_id=session.id), metadata=bearer(current))

    assert await refused(auth.as_edge.ExchangeSession(pb.ExchangeSessionRequest(session_token=cookie)))
    assert await refused(auth.stub.RefreshToken(pb.RefreshTokenRequest(refresh_token=lost.refresh_token)))
    await until(lambda: refused(auth.stub.GetMe(pb.GetMeRequest(), metadata=bearer(lost.access_token))))
    assert [session.current for session in (await sessions_of(auth, current)).sessions] == [True]


async def test_somebody_elses_session_is_not_found_and_goes_on(auth: Auth, person: Person) -> None:
    await person.register()
    theirs = (await person.tokens()).access_token
    (session,) = (await sessions_of(auth, theirs)).sessions
    stranger = auth.person()
    await stranger.register()
    own = (await stranger.tokens()).access_token

    for id_ in (session.id, new_id()):
        request = pb.RevokeSessionRequest(session_id=id_)
        assert isinstance(await refusal(auth.stub.RevokeSession(request, metadata=bearer(own))), NotFound)

    assert (await sessions_of(auth, theirs)).sessions == [session]


async def test_revoking_the_others_leaves_the_one_that_calls(auth: Auth, person: Person) -> None:
    await person.register()
    others = [await person.tokens() for _ in range(3)]
    current = (await person.tokens()).access_token

    answer = await auth.stub.RevokeOtherSessions(pb.RevokeOtherSessionsRequest(), metadata=bearer(current))
    again = await auth.stub.RevokeOtherSessions(pb.RevokeOtherSessionsRequest(), metadata=bearer(current))

    assert (answer.revoked, again.revoked) == (3, 0)
    for tokens in others:
        assert await refused(auth.stub.RefreshToken(pb.RefreshTokenRequest(refresh_token=tokens.refresh_token)))
    assert [session.current for session in (await sessions_of(auth, current)).sessions] == [True]
