import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from chatmesh.auth.v1 import auth_pb2 as pb
from chatmesh.auth.v1.auth_pb2_grpc import AuthServiceStub

from auth_svc.settings import AuthSettings
from svckit import clients
from svckit.identity import ServiceCredential
from tests.auth_svc.conftest import SERVICES
from tests.auth_svc.inbox import Inbox
from tests.auth_svc.person import Person, bearer, refused


def environment(settings: AuthSettings, database_url: str) -> dict[str, str]:
    return {
        "PATH": os.defpath,
        "LISTEN": settings.listen,
        "ADMIN_LISTEN": settings.admin_listen,
        "DATABASE_URL": database_url,
        "REDIS_URL": str(settings.redis_url),
        "NATS_URL": settings.nats_url,
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


async def test_no_secret_gets_into_the_log_of_a_journey_that_also_fails(
    settings: AuthSettings, new_database: Callable[[], Awaitable[str]], inbox: tuple[Inbox, int]
) -> None:
    secrets = ["correct horse battery", "not the password", "another password"]
    credential = ServiceCredential("edge", settings.service_secret.get_secret_value())
    async with started("auth_svc", env=environment(settings, await new_database())) as process:
        assert process.stdout is not None
        said = b""
        while b'"serving"' not in said:
            said = await process.stdout.readline()
            assert said, "it ended"
        address = json.loads(said)["address"]
        async with clients.channel(address, services=SERVICES, credential=credential) as channel:
            stub = AuthServiceStub(channel)
            person = Person(stub, inbox[0])
            await person.sign_up()
            secrets.append(await person.mailed_token())
            assert await refused(person.sign_in(password="not the password"))
            await person.verify(secrets[-1])
            secrets.append(await person.session_token())
            tokens = (await person.sign_in()).tokens
            secrets += [tokens.access_token, tokens.refresh_token]
            exchanged = await stub.ExchangeSession(pb.ExchangeSessionRequest(session_token=secrets[-3]))
            secrets.append(exchanged.access_token)
            await stub.SignOut(pb.SignOutRequest(), metadata=bearer(tokens.access_token))
            await stub.ForgotPassword(pb.ForgotPasswordRequest(email=person.address))
            secrets.append(await person.mailed_token())
            await stub.ResetPassword(pb.ResetPasswordRequest(token=secrets[-1], password="another password"))
        process.send_signal(signal.SIGTERM)
        log = (await process.communicate())[0].decode()

    assert process.returncode == 0
    assert log.count("chatmesh.auth.v1.AuthService/") == 9
    assert [secret for secret in [*secrets, person.address] if secret in log] == []


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


async def test_a_signing_key_is_replaced_from_the_command_line(
    settings: AuthSettings, new_database: Callable[[], Awaitable[str]]
) -> None:
    env = environment(settings, await new_database())

    for arguments, end in (((), "signs from 15 minutes on.\n"), (("--at-once",), "signs from now on.\n")):
        async with started("auth_svc.rotate_keys", *arguments, env=env) as process:
            said, _ = await process.communicate()
            assert process.returncode == 0
            assert said.decode().endswith(end)
