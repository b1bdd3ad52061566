"""What a person sees: the lines of every process on one stream, each with its name before it."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TextIO

_EVERY = 0.1  # seconds between two looks at the logs
_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)  # ECMA-48, SGR: foregrounds that read on light and dark


class Console:
    """Writes to `stream`. A log it follows is read from a file, so that no process ever waits for the reader."""

    def __init__(self, stream: TextIO, *, names: Iterable[str] = (), plain: bool = False) -> None:
        """`names`: whose lines will come, for a column that fits them all; `plain`: no colours."""
        self._stream = stream
        self._names = sorted(names)
        self._width = max(map(len, self._names), default=0)
        self._colourful = stream.isatty() and not plain
        self._logs: dict[str, Path] = {}
        self._read: dict[str, int] = {}

    def say(self, text: str) -> None:
        """Write lines of one's own, after all that the processes have written up to now."""
        self._catch_up()
        self._write(text, mark="")

    async def follow(self, logs: Mapping[str, Path]) -> None:
        """Write what comes into each log from now on, until cancelled; the last of it, too."""
        self._logs = dict(logs)
        self._read = {name: log.stat().st_size if log.exists() else 0 for name, log in logs.items()}
        try:
            while True:
                await asyncio.sleep(_EVERY)
                self._catch_up()
        finally:
            self._catch_up()

    def _catch_up(self) -> None:
        for name, log in self._logs.items():
            with suppress(FileNotFoundError):
                self._pass_on(name, log)

    def _pass_on(self, name: str, log: Path) -> None:
        size = log.stat().st_size
        start = self._read[name] if self._read[name] <= size else 0  # a long log was set aside, and a new one begun
        if size == start:
            return
        with log.open("rb") as file:
            file.seek(start)
            found = file.read(size - start)
        whole_lines = found[: found.rfind(b"\n") + 1]
        self._read[name] = start + len(whole_lines)
        self._write(whole_lines.decode(errors="replace"), mark=self._mark(name))

    def _write(self, text: str, *, mark: str) -> None:
        with suppress(BrokenPipeError):  # nobody reads any more: no reason to stop
            self._stream.writelines(f"{mark}{line}\n" for line in text.splitlines())
            self._stream.flush()

    def _mark(self, name: str) -> str:
        mark = f"{name:<{self._width}} | "
        if self._colourful:
            return f"\x1b[{_COLOURS[self._names.index(name) % len(_COLOURS)]}m{mark}\x1b[0m"
        return mark
