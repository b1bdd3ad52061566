import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
import pytest
from chatmesh.auth.v1 import auth_pb2 as pb
from chatmesh.auth.v1.auth_pb2_grpc import AuthServiceStub

from auth_svc.settings import AuthSettings
from svckit import clients
from svckit.identity import ServiceCredential
from tests.auth_svc.conftest import SERVICES
from tests.auth_svc.inbox import Inbox, token_in
from tests.auth_svc.person import Person, bearer


def environment(settings: AuthSettings, database_url: str) -> dict[str, str]:
    return {
        "PATH": os.defpath,
        "LISTEN": settings.listen,
        "ADMIN_LISTEN": settings.admin_listen,
        "DATABASE_URL": database_url,
        "REDIS_URL": str(settings.redis_url),
        "NATS_URL": settings.nats_url,
        "PUBLIC_URL": str(settings.public_url),
        "SMTP_URL": settings.smtp_url.get_secret_value(),
        "LOG_LEVEL": "debug",
    }


@asynccontextmanager
async def started(*module: str, env: dict[str, str]) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *module, env=env, stdin=PIPE, stdout=PIPE, stderr=STDOUT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def address_of(process: Process) -> str:
    """Where a service that is starting listens, once it does."""
    assert process.stdout is not None
    said = b""
    while b'"serving"' not in said:
        said = await process.stdout.readline()
        assert said, "it ended"
    return str(json.loads(said)["address"])


async def test_no_secret_gets_into_a_log_or_an_error_of_a_journey_that_also_fails(
    settings: AuthSettings, new_database: Callable[[], Awaitable[str]], inbox: tuple[Inbox, int]
) -> None:
    credential = ServiceCredential("edge", settings.service_secret.get_secret_value())
    async with started("auth_svc", env=environment(settings, await new_database())) as process:
        address = await address_of(process)
        async with clients.channel(address, services=SERVICES, credential=credential) as channel:
            person = Person(AuthServiceStub(channel), inbox[0])
            secrets, errors = await _journey(person)
        process.send_signal(signal.SIGTERM)
        log = (await process.communicate())[0].decode()

    assert process.returncode == 0
    called = set(re.findall(r"chatmesh\.auth\.v1\.AuthService/(\w+)", log))
    assert len(called) == 11
    assert len(errors) == 8
    for written in (log, *errors):
        assert [secret for secret in [*secrets, person.address] if secret in written] == []


async def _journey(person: Person) -> tuple[list[str], list[str]]:
    """Everything that has to do with a secret, done well and badly: the secrets, and all that the errors said."""
    stub, errors = person.stub, []
    secrets = [person.password, "not the password", "another password", "a third password"]

    async def fails(call: Awaitable[object]) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        errors.append(f"{caught.value!r} {caught.value.trailing_metadata()!r}")

    await person.sign_up()
    secrets.append(await person.mailed_token())
    await fails(person.sign_in(password="not the password"))
    await fails(person.sign_in())
    await person.verify(secrets[-1])
    await fails(person.verify(secrets[-1]))
    cookie, tokens = await person.session_token(), await person.tokens()
    secrets += [cookie, tokens.access_token, tokens.refresh_token]
    exchanged = await stub.ExchangeSession(pb.ExchangeSessionRequest(session_token=cookie))
    refreshed = (await stub.RefreshToken(pb.RefreshTokenRequest(refresh_token=tokens.refresh_token))).tokens
    secrets += [exchanged.access_token, refreshed.access_token, refreshed.refresh_token]
    token = bearer(refreshed.access_token)
    made = await stub.CreateApiKey(pb.CreateApiKeyRequest(name="job"), metadata=token)
    secrets += [made.secret, (await stub.ExchangeSession(pb.ExchangeSessionRequest(api_key=made.secret))).access_token]
    await stub.DeleteApiKey(pb.DeleteApiKeyRequest(api_key_id=made.api_key.id), metadata=token)
    await fails(stub.ExchangeSession(pb.ExchangeSessionRequest(api_key=made.secret)))
    change = pb.ChangePasswordRequest(current_password=person.password, new_password="another password")
    await stub.ChangePassword(change, metadata=token)
    await fails(stub.ChangePassword(change, metadata=token))
    await stub.SignOut(pb.SignOutRequest(), metadata=token)
    await fails(stub.RefreshToken(pb.RefreshTokenRequest(refresh_token=refreshed.refresh_token)))
    await stub.ForgotPassword(pb.ForgotPasswordRequest(email=person.address))
    while (letter := await person.inbox.next_to(person.address))["Subject"] != "Choose a new password":
        pass
    secrets.append(token_in(letter))
    reset = pb.ResetPasswordRequest(token=secrets[-1], password="a third password")
    await stub.ResetPassword(reset)
    await fails(stub.ResetPassword(reset))
    await fails(stub.SignUp(pb.SignUpRequest(email=person.address, password=person.address)))
    return secrets, errors


async def test_an_administrator_is_made_from_the_command_line(
    settings: AuthSettings, new_database: Callable[[], Awaitable[str]]
) -> None:
    env = environment(settings, await new_database())

    async with started("auth_svc.create_admin", "root@example.com", "--password-stdin", env=env) as process:
        said, _ = await process.communicate(b"a good password\n")
        assert (process.returncode, said) == (0, b"root@example.com is an administrator.\n")
    async with started("auth_svc.create_admin", "nobody", env=env) as process:
        said, _ = await process.communicate()
        assert (process.returncode, said) == (1, b"email: must be an e-mail address\n")
    nowhere = {**env, "DATABASE_URL": f"{env['DATABASE_URL']}-nowhere"}
    async with started("auth_svc.create_admin", "root@example.com", env=nowhere) as process:
        said, _ = await process.communicate()
        assert (process.returncode, said.decode().split(": ")[0]) == (1, "DATABASE_URL")


async def test_a_signing_key_is_replaced_from_the_command_line(
    settings: AuthSettings, new_database: Callable[[], Awaitable[str]]
) -> None:
    env = environment(settings, await new_database())

    for arguments, end in (((), "signs from 15 minutes on.\n"), (("--at-once",), "signs from now on.\n")):
        async with started("auth_svc.rotate_keys", *arguments, env=env) as process:
            said, _ = await process.communicate()
            assert process.returncode == 0
            assert said.decode().endswith(end)
