import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import grpc
import pytest
from chatmesh.auth.v1 import auth_pb2 as pb

from svckit.errors import ResourceExhausted, ServiceError, Unauthenticated
from tests.auth_svc.conftest import Auth, Start, StillClock
from tests.auth_svc.person import Person, bearer, new_address
from tests.callers import refusal

FREE = 10
FREE_EVERYWHERE = 100


@pytest.fixture(scope="module")
async def auth(start: Start) -> AsyncIterator[Auth]:
    """Guesses count here as made at once, however long a busy machine takes for them."""
    async with start(clock=StillClock()) as standing:
        yield standing


def at(ip_address: str) -> tuple[tuple[str, str], ...]:
    return (("x-client-ip", ip_address),)


async def guess(auth: Auth, address: str, *, ip: str = "192.0.2.1", password: str = "a guess") -> ServiceError:
    person = Person(auth.as_edge, auth.inbox, address)
    return await refusal(person.sign_in(password=password, metadata=at(ip)))


async def guesses(auth: Auth, address: str, count: int, *, ip: str = "192.0.2.1") -> Sequence[ServiceError]:
    return [await guess(auth, address, ip=ip) for _ in range(count)]


async def known_and_unknown(auth: Auth) -> tuple[str, str]:
    owner = auth.person()
    await owner.register()
    return owner.address, new_address()


async def test_guesses_wait_longer_and_longer_alike_for_known_and_unknown_addresses(start: Start) -> None:
    clock = StillClock()
    async with start(clock=clock) as auth:
        for address in await known_and_unknown(auth):
            clock.restart()
            assert {type(error) for error in await guesses(auth, address, FREE)} == {Unauthenticated}
            waits = []
            for _ in range(12):
                error = await guess(auth, address)
                assert (type(error), error.reason) == (ResourceExhausted, "TOO_MANY_ATTEMPTS")
                assert error.retry_after is not None
                waits.append(round(error.retry_after.total_seconds()))
                clock.now += error.retry_after
                assert isinstance(await guess(auth, address), Unauthenticated)

            assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]


async def test_that_one_must_wait_is_said_alike_for_known_and_unknown_addresses(auth: Auth) -> None:
    said = []
    for address in await known_and_unknown(auth):
        await guesses(auth, address, FREE + 3)
        call = Person(auth.as_edge, auth.inbox, address).sign_in(metadata=at("192.0.2.1"))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        said.append((refused.value.code(), refused.value.details(), refused.value.trailing_metadata()))

    assert said[0] == said[1]
    assert said[0][0] is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_while_it_must_wait_not_even_the_right_password_is_told(auth: Auth, person: Person) -> None:
    await person.register()
    await guesses(auth, person.address, FREE)

    assert isinstance(await guess(auth, person.address, password=person.password), ResourceExhausted)


async def test_guesses_at_once_are_counted_before_they_are_checked(auth: Auth, person: Person) -> None:
    await person.register()

    errors = await asyncio.gather(*(guess(auth, person.address) for _ in range(3 * FREE)))

    assert sum(isinstance(error, Unauthenticated) for error in errors) == FREE


async def test_the_owner_gets_in_from_another_network(auth: Auth, person: Person) -> None:
    await person.register()
    await guesses(auth, person.address, FREE + 1)

    owner = Person(auth.as_edge, auth.inbox, person.address)

    assert (await owner.sign_in(metadata=at("192.0.2.2"))).user.email == person.address


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "unknown", False),
    ],
)
async def test_a_network_is_what_one_customer_can_choose_from(auth: Auth, one: str, other: str, same: bool) -> None:
    address = new_address()
    await guesses(auth, address, FREE, ip=one)

    assert isinstance(await guess(auth, address, ip=other), ResourceExhausted) == same


async def test_guessing_from_many_networks_is_slowed_down_but_where_the_owner_was_before_the_owner_gets_in(
    auth: Auth, person: Person
) -> None:
    await person.register()
    owner = Person(auth.as_edge, auth.inbox, person.address)
    await owner.sign_in(metadata=at("203.0.113.9"))
    for n in range(FREE_EVERYWHERE // FREE):
        await guesses(auth, person.address, FREE, ip=f"198.51.100.{n}")

    elsewhere = await guess(auth, person.address, ip="198.51.100.200")

    assert (type(elsewhere), elsewhere.reason) == (ResourceExhausted, "TOO_MANY_ATTEMPTS")
    assert (await owner.sign_in(metadata=at("203.0.113.9"))).user.email == person.address


async def test_a_right_password_and_a_reset_forget_what_was_wrong(auth: Auth, person: Person) -> None:
    await person.register()
    owner = Person(auth.as_edge, auth.inbox, person.address)
    await guesses(auth, person.address, FREE - 1)
    await owner.sign_in(metadata=at("192.0.2.1"))
    after_success = await guesses(auth, person.address, FREE)
    await auth.stub.ForgotPassword(pb.ForgotPasswordRequest(email=person.address))
    token = await person.mailed_token()
    await auth.stub.ResetPassword(pb.ResetPasswordRequest(token=token, password="another password"))

    after_reset = await guess(auth, person.address)

    assert {type(error) for error in [*after_success, after_reset]} == {Unauthenticated}


async def test_a_day_without_attempts_forgets_them(start: Start) -> None:
    clock = StillClock()
    async with start(clock=clock) as auth:
        address = new_address()
        await guesses(auth, address, FREE)
        clock.now += timedelta(hours=24, seconds=2)

        assert {type(error) for error in await guesses(auth, address, FREE)} == {Unauthenticated}


async def test_whoever_has_a_session_cannot_guess_the_password_either(auth: Auth, person: Person) -> None:
    await person.register()
    token = (await person.tokens()).access_token
    request = pb.ChangePasswordRequest(current_password="a guess", new_password="another password")

    errors = [await refusal(auth.stub.ChangePassword(request, metadata=bearer(token))) for _ in range(FREE + 1)]

    assert [type(error) for error in errors] == [Unauthenticated] * FREE + [ResourceExhausted]
