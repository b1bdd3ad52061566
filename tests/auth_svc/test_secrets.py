"""Nothing that opens an account is written anywhere: second factors and sign-in by providers."""

import json
import re
import signal
from collections.abc import Awaitable, Callable

import grpc
import pytest
from chatmesh.auth.v1.auth_pb2_grpc import AuthServiceStub

from auth_svc.clock import now
from auth_svc.settings import AuthSettings
from svckit import clients
from svckit.identity import ServiceCredential
from svckit.ids import new_id
from tests.auth_svc.authenticator import Holder
from tests.auth_svc.conftest import SERVICES, Auth
from tests.auth_svc.inbox import Inbox
from tests.auth_svc.openid import LyingProvider, Traveller, lying_provider, session_in
from tests.auth_svc.person import new_address
from tests.auth_svc.test_process import address_of, environment, started


class Errors(list[str]):
    """What was said to callers who were refused."""

    async def of(self, call: Awaitable[object]) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        self.append(f"{caught.value!r} {caught.value.trailing_metadata()!r}")


async def test_no_secret_of_a_second_factor_or_a_provider_gets_into_a_log_or_an_error(
    settings: AuthSettings, new_database: Callable[[], Awaitable[str]], inbox: tuple[Inbox, int]
) -> None:
    credential, errors = ServiceCredential("edge", settings.service_secret.get_secret_value()), Errors()
    async with lying_provider() as lying:
        client = {"client_id": "chatmesh", "client_secret": "the client's own secret"}
        providers = json.dumps([{"name": "lying", "issuer": lying.url, **client}])
        env = environment(settings, await new_database()) | {"OIDC_PROVIDERS": providers}
        async with started("auth_svc", env=env) as process:
            address = await address_of(process)
            async with clients.channel(address, services=SERVICES, credential=credential) as channel:
                stub = AuthServiceStub(channel)
                auth = Auth(settings, address, "", stub, stub, inbox[0])
                secrets = [
                    client["client_secret"],
                    *await _with_an_app(auth, errors),
                    *await _by_a_provider(Traveller(auth, "lying"), lying, errors),
                ]
            process.send_signal(signal.SIGTERM)
            log = (await process.communicate())[0].decode()

    assert process.returncode == 0
    assert {"VerifyMfa", "ConfirmTotp", "CompleteOidc"} <= set(re.findall(r"AuthService/(\w+)", log))
    assert len(errors) == 3
    assert len(secrets) > 20
    for written in (log, *errors):
        assert [secret for secret in secrets if secret in written] == []


async def _with_an_app(auth: Auth, errors: Errors) -> list[str]:
    holder = Holder(auth.person(), now)
    await holder.turn_on()
    token = await holder.challenge()
    await errors.of(holder.verify(token, recovery_code="not a recovery code"))
    await errors.of(holder.verify(token, code="not a code"))
    opened = await holder.verify(token, recovery_code=holder.recovery_codes[0])
    return [
        *(holder.secret, token, "not a recovery code", "not a code", *holder.recovery_codes),
        *(opened.tokens.access_token, opened.tokens.refresh_token, holder.person.address),
    ]


async def _by_a_provider(traveller: Traveller, lying: LyingProvider, errors: Errors) -> list[str]:
    email, brought = new_address(), {"code": "what the provider gave"}
    await traveller.leave()
    secrets = [traveller.cookie, traveller.sent["nonce"], traveller.sent["state"]]
    brought["state"] = traveller.sent["state"]
    lying.sign("another nonce", email=email, sub=new_id())
    await traveller.sent_back(brought)
    lying.sign(traveller.sent["nonce"], email=email, sub=new_id())
    session = session_in(await traveller.come_back(brought))
    await errors.of(traveller.come_back({**brought, "state": "not the state"}))
    verifier = lying.asked[-1]["code_verifier"]
    return [*secrets, email, brought["code"], "not the state", verifier, lying.token, session]
