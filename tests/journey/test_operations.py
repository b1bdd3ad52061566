"""What an operator asks of a running mesh."""

import asyncio
import json
import os
import re
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from tests.journey.running import Mesh
from tests.typing_commands import typed


async def test_the_doctor_finds_a_running_mesh_well(mesh: Mesh) -> None:
    code, out, err = await typed("doctor", "--json", folder=mesh.home)

    findings = json.loads(out)
    assert [finding for finding in findings if not finding["ok"]] == []
    assert (code, err) == (0, "")
    assert {"PostgreSQL", "Redis", "NATS", "ClickHouse", "mail", "edge", "auth"} <= {each["name"] for each in findings}
    [nats] = [each["said"] for each in findings if each["name"] == "NATS"]
    assert re.fullmatch(r"NATS \d+\.\d+\.\d+, JetStream with \d+ streams; each event is on the disk", nats)


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


async def test_a_load_of_visitors_is_written_down_call_by_call(mesh: Mesh, tmp_path: Path) -> None:
    page = tmp_path / "report" / "load.html"
    asked = ("--url", mesh.url, "--rate", "10", "--seconds", "1", "--stream-every", "5", "--output", str(page))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.journey", *asked),
        stdout=PIPE,
        env={**os.environ, "CHATMESH_HOME": str(mesh.home)},
    )
    written, _ = await process.communicate()

    rows = {line.split("  ")[0]: line.split() for line in written.decode().splitlines()}
    assert process.returncode == 0, written.decode()
    assert {"GET /api/auth/me", "POST /api/conversations", "POST /api/chat, streamed"} <= rows.keys()
    visits = int(rows["GET /api/auth/me"][2])
    assert page.read_text().count("<circle") == 5 * visits + visits // 5
    assert page.read_text().count("<svg") == 6
