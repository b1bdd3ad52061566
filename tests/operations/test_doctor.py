"""`chatmesh doctor` and `chatmesh gen-secrets` as an operator types them before anything runs."""

import json
from pathlib import Path

from redis.asyncio import Redis

from svckit.local import Engines, ports
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

    code, out, err = await typed("doctor", "--json", folder=tmp_path, **wrong)

    found = {finding["name"]: finding for finding in json.loads(out)}
    assert (code, err) == (1, "")
    assert {name for name, finding in found.items() if finding["ok"]} == {"versions", "disk", "Redis"}
    assert all(finding["todo"] for finding in found.values() if not finding["ok"])
    assert "nowhere" in found["PostgreSQL"]["said"]
    assert "SERVICE_SECRET: must be set in production" in found["settings"]["said"]
    assert "CLICKHOUSE_URL" in found["ClickHouse"]["todo"]
    assert "chatmesh chat" in found["chat"]["todo"]


async def test_a_cache_that_throws_keys_away_is_refused(engines: Engines, tmp_path: Path) -> None:
    told = {"DATABASE_URL": engines.database_url, "REDIS_URL": engines.redis_url}
    async with Redis.from_url(engines.redis_url) as redis:
        await redis.config_set("maxmemory-policy", "allkeys-lru")
        try:
            _, out, _ = await typed("doctor", folder=tmp_path, **told)
        finally:
            await redis.config_set("maxmemory-policy", "noeviction")

    assert "FAIL  Redis       it throws keys away when it is full (allkeys-lru)\n" in out
    assert "to do: CONFIG SET maxmemory-policy noeviction\n" in out


async def test_before_the_first_start_there_is_only_the_machine_to_look_at(tmp_path: Path) -> None:
    taken = ports.free_port()

    code, out, _ = await typed("doctor", "--json", folder=tmp_path / "new", EDGE_PORT=str(taken))

    found = {finding["name"]: finding for finding in json.loads(out)}
    assert list(found) == ["versions", "disk", "settings", "ports"]
    assert code == (0 if found["ports"]["ok"] else 1)


async def test_new_secrets_are_what_production_asks_for(tmp_path: Path) -> None:
    _, first, _ = await typed("gen-secrets", folder=tmp_path)
    _, second, _ = await typed("gen-secrets", folder=tmp_path)
    made = dict(line.split("=", 1) for line in first.splitlines() if not line.startswith("#"))

    _, out, _ = await typed("doctor", "--json", folder=tmp_path, CHATMESH_ENV="production", **made)

    settings = next(finding for finding in json.loads(out) if finding["name"] == "settings")
    assert first != second
    assert set(made) == {"SERVICE_SECRET", "MFA_SECRET"}
    assert "must be set" in settings["said"]
    assert not any(name in settings["said"] for name in made)
