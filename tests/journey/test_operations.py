"""What an operator asks of a running mesh."""

import json

from tests.journey.running import Mesh
from tests.typing_commands import typed


async def test_the_doctor_finds_a_running_mesh_well(mesh: Mesh) -> None:
    code, out, err = await typed("doctor", "--json", folder=mesh.home)

    findings = json.loads(out)
    assert [finding for finding in findings if not finding["ok"]] == []
    assert (code, err) == (0, "")
    assert {"PostgreSQL", "Redis", "NATS", "ClickHouse", "mail", "edge", "auth"} <= {each["name"] for each in findings}


async def test_the_smoke_test_goes_a_users_whole_way_and_leaves_no_account(mesh: Mesh) -> None:
    code, out, err = await typed("smoke", mesh.url, folder=mesh.home)

    email = next(line for line in out.splitlines() if "sign up: " in line).rpartition(": ")[2]
    assert (code, err) == (0, ""), out
    assert [line.split("  ")[-1].split(": ")[0] for line in out.splitlines()] == [
        "health",
        "sign up",
        "verify the address",
        "sign in",
        "a streamed answer",
        "read it again",
        "plans",
        "reports",
    ]
    told = {"SMOKE_PASSWORD": "it does not matter which"}
    code, out, _ = await typed("smoke", mesh.url, "--account", email, folder=mesh.home, **told)
    assert code == 1
    assert "FAIL  sign in: POST /api/auth/signin: 401" in out
