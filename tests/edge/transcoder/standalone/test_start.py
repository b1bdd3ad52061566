"""What the program needs to start, in which words it says that it cannot, and how it ends."""

import asyncio
import copy
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError

from edge.transcoder import GrpcUpstream, Transcoder
from edge.transcoder.standalone import arguments, descriptor_sets
from edge.transcoder.standalone.descriptor_sets import StartError
from svckit.local import ports
from tests.edge.transcoder.standalone import services
from tests.edge.transcoder.standalone.program import Ended, Program, launched, running
from tests.edge.transcoder.standalone.services import BOOKSTORE, LIBRARY, Bookstore, Library
from tests.waiting import until

NOBODY = "127.0.0.1:9"  # the port of a protocol that nothing serves any more


async def outcome(*flags: str) -> Ended:
    """How a start that fails ends; fails itself for anything but one line on stderr."""
    async with launched(*flags) as program:
        ended = await program.ended()
    assert (ended.out, ended.err.count("\n")) == ("", 1), ended
    return ended


def test_one_line_says_what_is_served_and_verbose_adds_the_routes(bookstore: Program) -> None:
    assert bookstore.lines[0].startswith(f"serving 6 routes of 1 service on {bookstore.url} → 127.0.0.1:")
    assert bookstore.lines[1:] == [
        f"  GET    /shelves                {BOOKSTORE}.ListShelves",
        f"  POST   /shelf                  {BOOKSTORE}.CreateShelf",
        f"  GET    /shelves/{{shelf}}        {BOOKSTORE}.GetShelf",
        f"  DELETE /shelves/{{shelf}}        {BOOKSTORE}.DeleteShelf",
        f"  GET    /shelves/{{shelf}}/books  {BOOKSTORE}.ListBooks",
        f"  POST   /shelves/{{shelf}}/books  {BOOKSTORE}.CreateBook",
    ]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--upstream", NOBODY), "--descriptor-set --reflection is required"),
        (("--reflection",), "--upstream"),
        (("--reflection", "--descriptor-set", "x", "--upstream", NOBODY), "not allowed with"),
        (("--reflection", "--upstream", "nowhere"), "'nowhere' is not HOST:PORT"),
        (("--reflection", "--upstream", "a:99999"), "'a:99999' is not HOST:PORT"),
        (("--reflection", "--upstream", NOBODY, "--listen", "80"), "'80' is not HOST:PORT"),
        (("--reflection", "--upstream", NOBODY, "--unescape", "some"), "--unescape"),
        (("--reflection", "--upstream", NOBODY, "--timeout", "-1"), "--timeout"),
        (("--reflection", "--upstream", NOBODY, "--timeout", "nan"), "--timeout"),
        (("--reflection", "--upstream", NOBODY, "--max-body-bytes", "0"), "--max-body-bytes"),
        (("--reflection", "--upstream", NOBODY, "--allow-header", "a b"), "'a b' is no header"),
        (("--reflection", "--upstream", NOBODY, "--wat"), "--wat"),
    ],
)
def test_a_wrong_flag_ends_it_in_one_line(
    flags: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        arguments.read(flags)

    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert words in said.err


async def test_a_wrong_flag_ends_the_process_with_status_2() -> None:
    assert (await outcome("--wat")).status == 2


def test_help_says_the_flags_and_the_exit_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        arguments.read(["--help"])

    said = capsys.readouterr().out
    assert all(word in said for word in ("--descriptor-set", "--unescape", "exit status:", "--include_imports"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"syntax = 'proto3';", "is not a serialized google.protobuf.FileDescriptorSet"),
        (b"\xff\xff", "is not a serialized google.protobuf.FileDescriptorSet"),
        (b"", "holds no files"),
    ],
)
def test_a_file_that_is_no_descriptor_set_is_refused(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "set.binpb"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(StartError, match=words) as raised:
        descriptor_sets.read(path)

    assert str(path) in str(raised.value)


async def test_a_file_that_is_not_there_ends_the_process_with_status_1() -> None:
    ended = await outcome("--descriptor-set", "nowhere/set.binpb", "--upstream", NOBODY)

    assert ended == Ended(1, "", "python -m edge.transcoder: nowhere/set.binpb: No such file or directory\n")


def test_a_set_without_its_imports_is_refused_and_one_is_named(sets: dict[str, Path]) -> None:
    files = descriptor_sets.read(sets["library"])

    with pytest.raises(StartError, match=r"library.proto imports google/\S+, which .* --include_imports"):
        descriptor_sets.serialized({"library.proto": files["library.proto"]}, [LIBRARY])


def test_files_that_contradict_themselves_are_refused_and_one_is_named(sets: dict[str, Path]) -> None:
    files = descriptor_sets.read(sets["library"])
    broken = copy.deepcopy(files["library.proto"])
    broken.message_type[0].field[0].name = "no name"

    with pytest.raises(StartError, match=r"^library.proto: .*no name"):
        descriptor_sets.serialized({**files, "library.proto": broken}, [LIBRARY])


def test_files_may_come_in_any_order(sets: dict[str, Path]) -> None:
    files = descriptor_sets.read(sets["library"])

    reversed_ = descriptor_sets.serialized(dict(list(files.items())[::-1]), [LIBRARY])

    assert len(Transcoder(reversed_, GrpcUpstream({})).routes) == 8


@pytest.mark.parametrize(
    ("rpcs", "words"),
    [
        ('rpc R(M) returns (M) { option (google.api.http) = { get: "/a/" }; }', "t.S.R: the template '/a/'"),
        ("rpc R(M) returns (M);", "no google.api.http annotation on any RPC of t.S"),
    ],
)
async def test_a_set_that_cannot_be_served_ends_it_and_names_the_rpc(
    compile_proto: Callable[[str], bytes], tmp_path: Path, rpcs: str, words: str
) -> None:
    path = tmp_path / "bad.binpb"
    path.write_bytes(compile_proto(f"message M {{}} service S {{ {rpcs} }}"))

    ended = await outcome("--descriptor-set", str(path), "--upstream", NOBODY)

    assert ended.status == 1
    assert words in ended.err


async def test_a_service_that_is_not_there_ends_it_and_says_which_are(sets: dict[str, Path]) -> None:
    ended = await outcome("--descriptor-set", str(sets["library"]), "--upstream", NOBODY, "--service", "a.B")

    assert ended.status == 1
    assert f"there is no service a.B; there are: {LIBRARY}" in ended.err


async def test_only_the_services_that_are_named_are_served(sets: dict[str, Path], tmp_path: Path) -> None:
    both = tmp_path / "both.binpb"
    both.write_bytes(sets["library"].read_bytes() + sets["bookstore"].read_bytes())

    async with running("--descriptor-set", str(both), "--upstream", NOBODY, "--service", BOOKSTORE) as program:
        assert "serving 6 routes of 1 service" in program.lines[0]
        assert (await program("GET", "/shelves")).status == 503
        assert (await program("GET", "/v1/shelves/1/books")).status == 404


async def test_an_upstream_that_is_not_there_cannot_be_asked_for_its_descriptors() -> None:
    ended = await outcome("--reflection", "--upstream", NOBODY)

    assert ended.status == 1
    assert "the upstream cannot be asked for its descriptors: UNAVAILABLE" in ended.err


async def test_an_upstream_without_reflection_ends_it(sets: dict[str, Path]) -> None:
    async with services.serving(sets["library"].read_bytes(), Library) as upstream:
        ended = await outcome("--reflection", "--upstream", upstream)

    assert ended.status == 1
    assert "the upstream does not do server reflection" in ended.err


async def test_a_port_that_is_taken_ends_it(sets: dict[str, Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = await outcome("--descriptor-set", str(sets["library"]), "--upstream", NOBODY, "--listen", listen)

    assert ended.status == 1
    assert f"cannot listen on {listen}: " in ended.err


async def test_reflection_serves_what_the_server_registers_and_nothing_else(
    sets: dict[str, Path], tmp_path: Path
) -> None:
    both = sets["library"].read_bytes() + sets["bookstore"].read_bytes()

    async with (
        services.serving(both, Library, Bookstore, reflected_by=[services.v1, services.v1alpha]) as upstream,
        running("--reflection", "--upstream", upstream, "--service", LIBRARY) as program,
    ):
        assert "serving 8 routes of 1 service" in program.lines[0]


async def test_google_s_files_that_a_server_does_not_serve_come_from_our_packages(sets: dict[str, Path]) -> None:
    async with (
        services.serving(sets["library"].read_bytes(), Library, reflected_by=[services.sparse]) as upstream,
        running("--reflection", "--upstream", upstream) as program,
    ):
        assert (await program.json("POST", "/v1/shelves", {"name": "shelves/1"})) == {"name": "shelves/1"}


async def test_it_starts_before_its_upstream_and_serves_once_that_is_there(sets: dict[str, Path]) -> None:
    port = ports.free_port()
    async with running("--descriptor-set", str(sets["bookstore"]), "--upstream", f"127.0.0.1:{port}") as program:
        assert (await program("GET", "/shelves")).status == 503

        async def served() -> bool:
            return (await program("GET", "/shelves")).status == 200

        async with services.serving(sets["bookstore"].read_bytes(), Bookstore, port=port):
            assert await until(served)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_with_status_0(sets: dict[str, Path], signum: signal.Signals) -> None:
    async with running("--descriptor-set", str(sets["bookstore"]), "--upstream", NOBODY) as program:
        assert (await program("GET", "/shelves")).status == 503  # its connection stays open, and idle
        program.signal(signum)
        ended = await program.ended()

    assert ended == Ended(0, "", "")


class Slow(Bookstore):
    """Lists its shelves only once it may."""

    asked = asyncio.Event()
    may = asyncio.Event()

    async def ListShelves(self, request: Any, context: Any) -> Any:
        self.asked.set()
        await self.may.wait()
        return await super().ListShelves(request, context)


async def test_what_is_being_answered_may_end(sets: dict[str, Path]) -> None:
    path = sets["bookstore"]
    async with (
        services.serving(path.read_bytes(), Slow) as upstream,
        running("--descriptor-set", str(path), "--upstream", upstream) as program,
    ):
        asking = asyncio.create_task(program("GET", "/shelves"))
        await Slow.asked.wait()
        program.signal(signal.SIGTERM)
        await until(program.refuses)
        Slow.may.set()

        assert (await asking).status == 200
        assert (await program.ended()).status == 0


async def test_what_takes_longer_than_the_grace_is_broken_off(sets: dict[str, Path]) -> None:
    path = sets["bookstore"]
    Slow.asked.clear()
    Slow.may.clear()
    async with (
        services.serving(path.read_bytes(), Slow) as upstream,
        running("--descriptor-set", str(path), "--upstream", upstream, "--grace", "0.1") as program,
    ):
        asking = asyncio.create_task(program("GET", "/shelves"))
        await Slow.asked.wait()
        program.signal(signal.SIGTERM)

        with pytest.raises(ClientError):
            await asking
        assert (await program.ended()).status == 0
