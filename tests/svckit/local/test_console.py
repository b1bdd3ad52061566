import asyncio
import io
from pathlib import Path

from svckit.local import Console


def _append(log: Path, written: bytes) -> None:
    with log.open("ab") as file:
        file.write(written)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def _shown(stream: io.StringIO, log: Path, written: list[bytes], *, plain: bool = False) -> str:
    """Show what is written to a log in pieces while it is followed."""
    console = Console(stream, names=["auth", "analytics"], plain=plain)
    following = asyncio.create_task(console.follow({"auth": log}))
    await asyncio.sleep(0)
    for piece in written:
        _append(log, piece)
        console.say("--")
    following.cancel()
    await asyncio.wait([following])
    return stream.getvalue()


async def test_each_line_has_its_process_before_it(tmp_path: Path) -> None:
    shown = await _shown(io.StringIO(), tmp_path / "log", [b"one\ntwo\n"])

    assert shown == "auth      | one\nauth      | two\n--\n"


async def test_a_line_is_shown_when_it_is_whole(tmp_path: Path) -> None:
    shown = await _shown(io.StringIO(), tmp_path / "log", [b"on", b"e\n\ntw"])

    assert shown == "--\nauth      | one\nauth      | \n--\n"


async def test_lines_of_an_earlier_run_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("old\n")

    shown = await _shown(io.StringIO(), tmp_path / "log", [b"new\n"])

    assert shown == "auth      | new\n--\n"


async def test_a_terminal_gets_colours_unless_they_are_refused(tmp_path: Path) -> None:
    colourful = await _shown(Terminal(), tmp_path / "log", [b"one\n"])
    plain = await _shown(Terminal(), tmp_path / "log", [b"one\n"], plain=True)

    assert colourful == "\x1b[33mauth      | \x1b[0mone\n--\n"
    assert plain == "auth      | one\n--\n"


async def test_a_reader_who_left_is_no_reason_to_stop() -> None:
    class Left(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    Console(Left()).say("anybody there?")
