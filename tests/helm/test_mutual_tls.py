"""The edge and two services as one mesh whose processes all show certificates."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from chatmesh.auth.v1 import auth_pb2, auth_pb2_grpc

from auth_svc import app as auth
from auth_svc import create_admin
from auth_svc.settings import AuthSettings
from chat_svc import app as chat
from chat_svc.settings import ChatSettings
from edge import app as edge
from edge.settings import EdgeSettings
from svckit.local import Engines
from tests.svckit.authority import Authority

EMAIL, PASSWORD = "ada@example.com", "a long walk home"


async def test_a_mesh_with_certificates_serves_and_hears_nobody_without(
    engines: Engines, new_database: Callable[[], Awaitable[str]], tmp_path: Path
) -> None:
    authority = Authority()
    settings: dict[str, Any] = {
        "listen": "127.0.0.1:0",
        "admin_listen": "127.0.0.1:0",
        "database_url": await new_database(),
        "redis_url": engines.redis_url,
        "nats_url": engines.nats_url,
    }
    own = AuthSettings(**settings, **_shown(authority, "auth", tmp_path))
    await create_admin.main(own, email=EMAIL, password=PASSWORD)
    async with auth.serving(own) as accounts:
        known: dict[str, Any] = {"auth_service_url": accounts.address}
        async with (
            chat.serving(ChatSettings(**settings, **known, **_shown(authority, "chat", tmp_path))) as talk,
            edge.serving(
                EdgeSettings(
                    edge_port=0,
                    redis_url=settings["redis_url"],
                    chat_service_url=talk.address,
                    **known,
                    **_shown(authority, "edge", tmp_path),
                )
            ) as front,
            aiohttp.ClientSession(front.url, cookie_jar=aiohttp.CookieJar(unsafe=True)) as http,
        ):
            signed_in = await http.post("/api/auth/signin", json={"email": EMAIL, "password": PASSWORD})
            listed = await http.get("/api/conversations")
            statuses = (signed_in.status, listed.status)
        code = await _code_without_a_certificate(accounts.address)

    assert statuses == (200, 200)
    assert code is grpc.StatusCode.UNAVAILABLE


def _shown(authority: Authority, name: str, folder: Path) -> dict[str, Any]:
    tls = authority.issue(name, folder / name)
    return {"grpc_tls_cert": tls.certificate, "grpc_tls_key": tls.key, "grpc_tls_ca": tls.authority}


async def _code_without_a_certificate(address: str) -> grpc.StatusCode:
    async with grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await auth_pb2_grpc.AuthServiceStub(channel).ListSigningKeys(auth_pb2.ListSigningKeysRequest())
    return caught.value.code()
