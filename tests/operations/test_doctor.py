"""`chatmesh doctor`, `chatmesh gen-secrets` and others as an operator types them before anything runs."""

import json
import re
import socket
from pathlib import Path

from pydantic import SecretStr
from redis.asyncio import Redis

from auth_svc.settings import AuthSettings
from svckit.local import Engines, Home, ports
from tests.typing_commands import typed


async def test_what_is_wrong_is_said_with_what_to_do_about_it(engines: Engines, tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{ports.free_port()}"
    wrong = {
        "CHATMESH_ENV": "production",
        "DATABASE_URL": engines.database_url.replace("/postgres", "/nowhere"),
        "REDIS_URL": engines.redis_url,
        "NATS_URL": f"nats://{nobody}",
        "CLICKHOUSE_URL": f"http://{nobody}/default",
        "SMTP_URL": f"smtp://{nobody}",
        "PUBLIC_URL": f"http://{nobody}",
        **{f"{name}_SERVICE_URL": nobody for name in ("AUTH", "CHAT", "BILLING", "ANALYTICS")},
    }

    async with Redis.from_url(engines.redis_url) as redis:
        await redis.config_set("maxmemory-policy", "allkeys-lru")
        try:
            code, out, err = await typed("doctor", "--json", folder=tmp_path, **wrong)
        finally:
            await redis.config_set("maxmemory-policy", "noeviction")

    found = {finding["name"]: finding for finding in json.loads(out)}
    assert (code, err) == (1, "")
    assert {name for name, finding in found.items() if finding["ok"]} == {"versions", "disk"}
    assert all(finding["todo"] for finding in found.values() if not finding["ok"])
    assert "nowhere" in found["PostgreSQL"]["said"]
    assert "SERVICE_SECRET: must be set in production" in found["settings"]["said"]
    assert found["Redis"]["said"] == "it throws keys away when it is full (allkeys-lru)"
    assert "NATS_URL" in found["NATS"]["todo"]
    assert "CLICKHOUSE_URL" in found["ClickHouse"]["todo"]
    assert "chatmesh chat" in found["chat"]["todo"]


async def test_one_nats_that_writes_to_the_disk_now_and_then_is_refused(engines: Engines, home: Home) -> None:
    """As those of tests do; `make run` has one that writes at once."""
    _, out, _ = await typed("doctor", "--json", folder=home.path, NATS_URL=engines.nats_url)

    [found] = [finding for finding in json.loads(out) if finding["name"] == "NATS"]
    assert (found["ok"], found["said"].split(",")[0]) == (False, "one server alone")
    assert "sync_interval: always" in found["todo"]


async def test_before_the_first_start_there_is_only_the_machine_to_look_at(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, _ = await typed("doctor", folder=tmp_path / "new", EDGE_PORT=str(port))

    assert code == 1
    assert [line[6:14] for line in out.splitlines() if line[:4] in ("ok  ", "FAIL")] == [
        "versions",
        "disk    ",
        "settings",
        "ports   ",
    ]
    assert f"port {port} is used by " in out
    assert re.search(r"to do: .*EDGE_PORT=\d+.* make run\n", out)


async def test_a_command_that_finds_no_mesh_says_what_would_lead_to_one(tmp_path: Path) -> None:
    code, _, err = await typed("analytics", "audit", folder=tmp_path)

    assert (code, err) == (1, f"chatmesh: no mesh runs in {tmp_path}: `make run` starts one; or set NATS_URL\n")


async def test_new_secrets_are_what_the_settings_ask_for(tmp_path: Path) -> None:
    _, written, _ = await typed("gen-secrets", folder=tmp_path)
    made = dict(line.split("=", 1) for line in written.splitlines() if not line.startswith("#"))

    settings = AuthSettings.model_validate({name.lower(): SecretStr(secret) for name, secret in made.items()})
    assert {settings.service_secret.get_secret_value(), settings.mfa_secret.get_secret_value()} == set(made.values())
