import itertools
import os
import socket
from pathlib import Path

import pytest

from mesh import places, settings
from mesh.processes import Process, table
from svckit import local
from svckit.local import ports

ENGINES = local.Engines(
    database_url="postgresql://postgres:pw@127.0.0.1:1/postgres",
    redis_url="redis://:pw@127.0.0.1:2/0",
    nats_url="nats://mesh:pw@127.0.0.1:3",
    postgres=None,
    valkey=None,
    nats=None,
)


def _table(**given: str) -> dict[str, Process]:
    numbers = itertools.count(20_001)
    chosen = table(given, free_port=lambda _: next(numbers), local_model=True)
    return {process.name: process for process in chosen}


def _arranged(home: local.Home, **given: str) -> dict[str, str]:
    processes = _table(**given).values()
    return settings.arranged(given, home=home, engines=ENGINES, smtp_url="smtp://127.0.0.1:4", processes=processes)


def test_the_edge_comes_after_the_four_services() -> None:
    processes = _table()

    assert (
        set(processes["edge"].needs)
        == {"auth", "chat", "billing", "analytics"}
        == set(processes)
        - {
            "edge",
            "model",
            "stripe",
        }
    )
    assert processes["edge"].ports == (4000,)
    assert processes["chat"].ports == (3002, 9002)
    assert processes["chat"].environment == {"LISTEN": "127.0.0.1:3002", "ADMIN_LISTEN": "127.0.0.1:9002"}


def test_a_process_moves_to_the_port_that_its_variable_names() -> None:
    processes = _table(EDGE_PORT="4001", AUTH_SERVICE_URL="127.0.0.1:3105")

    assert processes["edge"].ready == "http://127.0.0.1:4001/readyz"
    assert processes["auth"].ports == (3105, 9105)


@pytest.mark.parametrize("value", ["x", "0", "99999", "127.0.0.1"])
def test_a_port_that_is_none_is_refused_by_its_variable(value: str) -> None:
    with pytest.raises(local.LocalError, match="EDGE_PORT: "):
        _table(EDGE_PORT=value)


def test_what_has_a_replacement_is_not_started() -> None:
    assert "model" not in _table(LOCAL_MODEL_URL="http://elsewhere/v1")
    assert "stripe" not in _table(STRIPE_SECRET_KEY="sk_test_1")
    assert "model" not in {process.name for process in table({}, free_port=lambda _: 1, local_model=False)}


async def test_what_the_person_set_wins(home: local.Home) -> None:
    arranged = _arranged(home, PUBLIC_URL="https://chat.example.com", LOG_FORMAT="", STRIPE_SECRET_KEY="sk_test_1")

    assert arranged["PUBLIC_URL"] == "https://chat.example.com"
    assert arranged["LOG_FORMAT"] == "console"
    assert "STRIPE_API_BASE" not in arranged


async def test_the_processes_are_told_where_everything_is(home: local.Home) -> None:
    arranged = _arranged(home)

    assert arranged["DATABASE_URL"] == ENGINES.database_url
    assert arranged["CHAT_SERVICE_URL"] == "127.0.0.1:3002"
    assert arranged["LOCAL_MODEL_URL"] == "http://127.0.0.1:20001/v1"
    assert arranged["STRIPE_API_BASE"] == "http://127.0.0.1:20002"
    assert arranged["CLICKHOUSE_URL"].startswith("chdb:///")
    assert arranged["CLICKHOUSE_URL"].endswith("/mesh%20home/clickhouse")
    assert arranged["SERVICE_SECRET"] == _arranged(home)["SERVICE_SECRET"]


async def test_compiled_modules_are_kept_where_they_disturb_nobody(home: local.Home) -> None:
    assert "PYTHONPYCACHEPREFIX" not in _arranged(home)
    assert _arranged(home, PYTHONDONTWRITEBYTECODE="1")["PYTHONPYCACHEPREFIX"] == str(home.path / "bytecode")


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# mine\nEDGE_PORT=4001\nOPENAI_API_KEY='a b'\nEMPTY=\n")

    assert settings.given({"EDGE_PORT": "4002"}, folder=tmp_path) == {"EDGE_PORT": "4002", "OPENAI_API_KEY": "a b"}


def test_no_file_is_needed(tmp_path: Path) -> None:
    assert settings.given({"A": "1"}, folder=tmp_path) == {"A": "1"}


def test_a_taken_port_is_named_with_its_holder_and_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        edge = _table(EDGE_PORT=str(port))["edge"]

        with pytest.raises(local.LocalError) as raised:
            places.refuse_taken([edge])

    assert str(raised.value).startswith(f"port {port} is used by pid {os.getpid()} (")
    assert str(raised.value).endswith(" make run")
    assert "): EDGE_PORT=" in str(raised.value)


def test_nobody_is_sent_to_a_port_of_another_process_or_twice_to_one() -> None:
    port = next(port for port in range(21_000, 30_000) if ports.is_free(port))
    with socket.create_server(("127.0.0.1", port)):
        neighbours = {f"{name}_SERVICE_URL": f"127.0.0.1:{port}" for name in ("AUTH", "CHAT")}
        processes = _table(**neighbours, BILLING_SERVICE_URL=f"127.0.0.1:{port + 1}")

        with pytest.raises(local.LocalError) as raised:
            places.refuse_taken([processes["auth"], processes["chat"], processes["billing"]])

    moves = [word for word in str(raised.value).split() if word.startswith(("AUTH", "CHAT"))]
    chosen = [int(move.rpartition(":")[2]) for move in moves]
    assert len(set(chosen)) == 2
    assert min(chosen) > port + 1


def test_free_ports_are_left_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    places.refuse_taken([_table(EDGE_PORT=str(port))["edge"]])
