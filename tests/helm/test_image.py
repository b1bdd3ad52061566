"""The Dockerfile and the compose file, by the tools that know them; `tools/image.sh NAME --try` builds and runs."""

import asyncio
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mesh.processes import ADMIN_OFFSET, SERVICES
from svckit.local.nats import find_nats
from tests.test_env_example import PROCESSES

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
OWN = {name: service for name, service in COMPOSE["services"].items() if service["image"].startswith("${CHATMESH")}


async def test_nats_has_what_it_acknowledges_on_the_disk() -> None:
    [path] = [volume.split(":")[0] for volume in COMPOSE["services"]["nats"]["volumes"] if volume.startswith("./")]
    checking = await asyncio.create_subprocess_exec(str(find_nats()), "-t", "--config", str(ROOT / path))

    assert await checking.wait() == 0
    assert "sync_interval: always" in (ROOT / path).read_text()


async def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint is not installed: `make test` installs it")
    process = await asyncio.create_subprocess_exec(
        hadolint, "--no-color", str(ROOT / "Dockerfile"), stdout=asyncio.subprocess.PIPE
    )

    assert (await process.communicate())[0].decode() == ""


def test_the_image_has_every_package_and_nothing_else() -> None:
    kept = re.findall(r"^!(\w+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    wheel = re.findall(r"^only-include = (.*)$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[0]

    assert sorted(kept) == sorted(re.findall(r"\w+", wheel))


def test_the_image_has_a_user_by_number_and_a_health_check() -> None:
    last = (ROOT / "Dockerfile").read_text().rpartition("FROM ")[2]

    assert re.search(r"^USER 65532:65532$", last, re.MULTILINE)
    assert 'HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "-m", "mesh.health"]' in last


def test_the_compose_file_follows_the_specification() -> None:
    specification = pytest.importorskip("compose_spec", reason="the models of compose files are not installed")

    told = {name: value for name, value in COMPOSE.items() if not name.startswith("x-")}
    specification.ComposeSpecification.model_validate(told, extra="forbid")


def test_containers_can_write_nothing_and_are_no_root() -> None:
    assert OWN.keys() == {"edge", "migrate", *SERVICES}
    for service in OWN.values():
        assert (service["read_only"], service["tmpfs"], service["cap_drop"]) == (True, ["/tmp"], ["ALL"])
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["user"] == "65532:65532"


def test_services_in_containers_are_where_the_others_look_for_them() -> None:
    for name, port in SERVICES.items():
        environment = OWN[name]["environment"]
        assert environment["LISTEN"] == f"0.0.0.0:{port}"
        assert environment["ADMIN_LISTEN"] == f"0.0.0.0:{port + ADMIN_OFFSET}"
        assert OWN["edge"]["environment"][f"{name.upper()}_SERVICE_URL"] == f"dns:///{name}:{port}"


def test_every_variable_is_a_setting() -> None:
    settings = {field.upper() for process in PROCESSES for field in process.model_fields}
    given = {variable for service in OWN.values() for variable in service["environment"]}

    assert given <= settings
    assert all(":-" in part or ":?" in part for part in re.findall(r"\$\{[^}]*\}", (ROOT / "compose.yaml").read_text()))


def test_only_the_edge_and_the_mails_are_reached_from_outside_and_from_this_machine_alone() -> None:
    ports = {name: service["ports"] for name, service in COMPOSE["services"].items() if "ports" in service}

    assert ports == {"edge": ["${EDGE_ADDRESS:-127.0.0.1:4000}:4000"], "mail": ["127.0.0.1:8025:8025"]}
