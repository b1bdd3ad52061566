"""`chatmesh service-token` as an operator types it."""

from pathlib import Path

import pytest

from mesh import state
from svckit.errors import Unauthenticated
from svckit.identity import ServiceCredential
from tests.typing_commands import typed

SECRET = "a secret that all services of this test share"


async def test_the_services_know_a_program_by_its_token(tmp_path: Path) -> None:
    code, token, _ = await typed("service-token", "reports", folder=tmp_path, SERVICE_SECRET=SECRET)

    assert (code, ServiceCredential("chat", SECRET).verify(token.strip())) == (0, "reports")


async def test_beside_a_running_mesh_its_secret_is_found(tmp_path: Path) -> None:
    with state.kept(tmp_path, {"SERVICE_SECRET": SECRET}):
        _, token, _ = await typed("service-token", "reports", "--minutes", "60", folder=tmp_path)

    assert ServiceCredential("chat", SECRET).verify(token.strip()) == "reports"


async def test_a_token_of_another_secret_counts_for_nothing(tmp_path: Path) -> None:
    _, token, _ = await typed(
        "service-token", "reports", folder=tmp_path, SERVICE_SECRET="another secret, which is as long as it"
    )

    with pytest.raises(Unauthenticated):
        ServiceCredential("chat", SECRET).verify(token.strip())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("edge",), "chatmesh: 'edge' is a process of the mesh: give your program a name of its own\n"),
        (("Reports",), "chatmesh: 'Reports' is no name: "),
        (("reports", "--minutes", "61"), "chatmesh: a token may live 1 to 60 minutes, not 61\n"),
        (("reports",), "chatmesh: no mesh runs in "),
    ],
)
async def test_what_makes_no_token_is_told_in_one_line(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    code, out, err = await typed("service-token", *arguments, folder=tmp_path)

    assert (code, out) == (1, "")
    assert err.startswith(told)
