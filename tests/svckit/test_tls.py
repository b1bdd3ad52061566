import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from svckit import clients
from svckit.local import ports
from svckit.renewed_channel import RenewedChannel
from svckit.settings import ServiceSettings, SettingsError, load
from tests.svckit.authority import Authority
from tests.svckit.probe import DESCRIPTOR, ProbeServicer, Reply, Request, bearer, claims, serving, stub

health_of: Any = health_pb2_grpc.HealthStub


class Greeting(ProbeServicer):
    """Answers who calls, by the certificate; streams a word when it begins and one when it is let go."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()

    async def Unary(self, request: Any, context: Any) -> Any:
        return Reply(text=_shown(context))

    async def Stream(self, request: Any, context: Any) -> Any:
        yield Reply(text=_shown(context))
        await self.let_go.wait()
        yield Reply(text="let go")


def _shown(context: Any) -> str:
    [name] = context.auth_context()["x509_common_name"]
    return str(name.decode())


async def _ask(channel: grpc.aio.Channel) -> str:
    return str((await stub(channel).Unary(Request(), metadata=bearer(claims()), timeout=5)).text)


async def _refused(address: str, credentials: grpc.ChannelCredentials | None) -> grpc.StatusCode:
    """How a call of somebody who should not get in ends."""
    channel = grpc.aio.secure_channel(address, credentials) if credentials else grpc.aio.insecure_channel(address)
    async with channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _ask(channel)
    return caught.value.code()


async def test_only_certificates_of_the_authority_are_let_in(tmp_path: Path) -> None:
    authority, stranger = Authority(), Authority()
    service, caller = authority.issue("service", tmp_path / "service"), authority.issue("caller", tmp_path / "caller")
    foreign = stranger.issue("caller", tmp_path / "foreign")
    foreign.authority.write_bytes(service.authority.read_bytes())
    async with serving(Greeting(), tls=service) as started:
        async with clients.channel(started.address, services=[DESCRIPTOR], tls=caller) as channel:
            known = await _ask(channel)
        without = grpc.ssl_channel_credentials(service.authority.read_bytes())
        refused = [await _refused(started.address, each) for each in (None, without, foreign.of_channel())]

    assert known == "caller"
    assert refused == [grpc.StatusCode.UNAVAILABLE] * 3


async def test_a_client_does_not_talk_to_a_server_of_another_authority(tmp_path: Path) -> None:
    service, caller = (
        Authority().issue("service", tmp_path / "service"),
        Authority().issue("caller", tmp_path / "caller"),
    )
    async with serving(Greeting(), tls=service) as started:
        assert await _refused(started.address, caller.of_channel()) is grpc.StatusCode.UNAVAILABLE


async def test_health_has_a_plaintext_port_of_its_own(tmp_path: Path) -> None:
    service, port = Authority().issue("service", tmp_path), ports.free_port()
    async with (
        serving(Greeting(), tls=service, health_listen=f"127.0.0.1:{port}"),
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        answer = await health_of(channel).Check(health_pb2.HealthCheckRequest())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _ask(channel)

    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_replaced_certificates_are_shown_and_believed_while_streams_go_on(tmp_path: Path) -> None:
    before, after = Authority(), Authority()
    service, caller = before.issue("service", tmp_path / "service"), before.issue("caller", tmp_path / "caller")
    late = before.issue("late", tmp_path / "late").of_channel()
    servicer = Greeting()
    async with (
        serving(servicer, tls=service) as started,
        RenewedChannel(
            caller, lambda shown: grpc.aio.secure_channel(started.address, shown), look_every=timedelta(0)
        ) as channel,
    ):
        probe = stub(channel)
        stream = probe.Stream(Request(), metadata=bearer(claims()))
        texts = [(await stream.read()).text, (await probe.Unary(Request(), metadata=bearer(claims()))).text]
        for name in ("service", "caller"):
            after.issue(f"newer {name}".replace(" ", "-"), tmp_path / name)
        texts.append((await probe.Unary(Request(), metadata=bearer(claims()))).text)
        refused = await _refused(started.address, late)
        servicer.let_go.set()
        texts.append((await stream.read()).text)

    assert texts == ["caller", "caller", "newer-caller", "let go"]
    assert refused is grpc.StatusCode.UNAVAILABLE


async def test_a_certificate_that_is_missing_for_a_moment_leaves_the_old_one(tmp_path: Path) -> None:
    authority = Authority()
    service, caller = authority.issue("service", tmp_path / "service"), authority.issue("caller", tmp_path / "caller")
    async with (
        serving(Greeting(), tls=service) as started,
        RenewedChannel(
            caller, lambda shown: grpc.aio.secure_channel(started.address, shown), look_every=timedelta(0)
        ) as channel,
    ):
        service.key.unlink()
        caller.certificate.unlink()
        assert await _ask(channel) == "caller"


def test_the_three_files_belong_together_and_must_be_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = Authority().issue("service", tmp_path)
    monkeypatch.setenv("GRPC_TLS_CERT", str(tls.certificate))
    monkeypatch.setenv("GRPC_TLS_KEY", str(tmp_path / "nowhere"))

    with pytest.raises(SettingsError) as caught:
        load(ServiceSettings)
    monkeypatch.setenv("GRPC_TLS_KEY", str(tls.key))
    with pytest.raises(SettingsError, match="set all or none"):
        load(ServiceSettings)
    monkeypatch.setenv("GRPC_TLS_CA", str(tls.authority))

    assert caught.value.problems == (f"GRPC_TLS_KEY: {tmp_path / 'nowhere'} cannot be read",)
    assert load(ServiceSettings).tls == tls
