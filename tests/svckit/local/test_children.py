import signal
import socket
import sys
from datetime import timedelta

import pytest

from svckit import local
from svckit.local import probes
from svckit.local.children import Child, run_to_end
from svckit.local.supervised import start_on_free_ports

SERVER = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    print("listening", flush=True)
    while True:
        server.accept()[0].close()
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SERVER
BRIEF = timedelta(milliseconds=50)


def _program(script: str, *arguments: str) -> local.Program:
    return local.Program(name="helper", command=(sys.executable, "-c", script, *arguments), environment={})


def _server(
    home: local.Home, *, port: int | None = None, script: str = SERVER, grace: timedelta = timedelta(seconds=10)
) -> local.Supervised:
    port = port or home.port("helper")
    url = f"tcp://127.0.0.1:{port}"
    return local.Supervised(_program(script, str(port)), home=home, url=url, ready=probes.answers(url), grace=grace)


async def test_a_started_program_answers(home: local.Home) -> None:
    server = _server(home)

    await server.start()

    assert await probes.answers(server.url)()
    await server.stop()
    assert await server.wait() == -signal.SIGTERM
    assert server.pid is None
    assert not await probes.answers(server.url)()


async def test_a_program_that_ignores_its_stop_signal_is_killed(home: local.Home) -> None:
    server = _server(home, script=STUBBORN, grace=BRIEF)
    await server.start()

    await server.stop()

    assert await server.wait() == -signal.SIGKILL


async def test_a_program_can_be_started_again_after_a_crash(home: local.Home) -> None:
    server = _server(home)
    await server.start()
    first = server.pid

    await server.kill()
    await server.start()

    assert server.pid != first
    assert await probes.answers(server.url)()
    await server.stop()


async def test_a_program_that_ends_before_it_is_ready_shows_its_last_lines(home: local.Home) -> None:
    server = _server(home, script="import sys; print('about to fail'); sys.exit('no luck today')")

    with pytest.raises(local.ProgramFailed, match="helper ended with 1 before it was ready") as raised:
        await server.start()

    assert sorted(raised.value.last_lines) == ["about to fail", "no luck today"]
    assert str(home.log("helper")) in str(raised.value)


async def test_a_program_that_never_answers_is_ended(home: local.Home) -> None:
    server = local.Supervised(
        _program("import signal; signal.pause()"),
        home=home,
        url="tcp://127.0.0.1:9",
        ready=probes.answers("tcp://127.0.0.1:9"),
        patience=BRIEF,
    )

    with pytest.raises(local.ProgramFailed, match="helper did not answer within"):
        await server.start()

    assert server.pid is None


async def test_a_second_one_waits_until_the_first_is_gone(home: local.Home) -> None:
    first = await Child.start(_program("import signal; signal.pause()"), home=home)
    first.send(signal.SIGTERM)

    second = await Child.start(_program("print('mine now')"), home=home)

    assert not first.running or await first.wait() == -signal.SIGTERM
    assert await second.wait() == 0
    assert second.last_lines() == ["mine now"]


async def test_the_lines_of_an_earlier_run_are_kept_but_are_not_the_last(home: local.Home) -> None:
    await run_to_end(_program("print('before')"), home=home)
    child = await Child.start(_program("print('after')"), home=home)
    await child.wait()

    assert child.last_lines() == ["after"]
    assert home.log("helper").read_text() == "before\nafter\n"


async def test_a_program_that_must_succeed_but_does_not_is_an_error(home: local.Home) -> None:
    with pytest.raises(local.ProgramFailed, match="helper exited with 3"):
        await run_to_end(_program("raise SystemExit(3)"), home=home)


async def test_a_port_taken_between_choice_and_use_is_replaced(home: local.Home) -> None:
    tried: list[int] = []
    with socket.socket() as rival:

        def make(port: int) -> local.Supervised:
            tried.append(port)
            if len(tried) == 1:
                rival.bind(("127.0.0.1", port))
            return _server(home, port=port)

        server = await start_on_free_ports(home, ["helper"], make)

    assert len(set(tried)) == 2
    assert await probes.answers(server.url)()
    await server.stop()


async def test_a_program_that_fails_for_its_own_reason_is_not_tried_again(home: local.Home) -> None:
    tried: list[int] = []

    def make(port: int) -> local.Supervised:
        tried.append(port)
        return _server(home, port=port, script="raise SystemExit('no')")

    with pytest.raises(local.ProgramFailed):
        await start_on_free_ports(home, ["helper"], make)

    assert len(tried) == 1
